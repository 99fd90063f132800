/** What is counted of uploads. */
import { Cause, Effect, Option } from "effect"
import * as Counters from "../../Counters.ts"
import { BadSignatureReason } from "../file/SharedFileError.ts"

const uploads = Counters.family("uploads_total", "Shared files that were taken over", "result", [
  "stored",
  "queued"
])
const bytes = Counters.counter(
  "upload_bytes_total",
  "Bytes of the content of shared files that were taken over"
)

/** Tags of errors that an upload may end with, but for `BadSignature`, whose reasons are told apart. */
const tags = [
  "InvalidRequest",
  "PayloadTooLarge",
  "RequestTimeout",
  "StorageError",
  "StorageFull",
  "TooBusy",
  "UnknownTarget",
  "UpstreamRejected"
] as const

const refusals = Counters.family<string>(
  "upload_refusals_total",
  "Shared files that were not taken over, by the reason of a bad signature or the error's tag",
  "reason",
  [...BadSignatureReason.literals, ...tags]
)

/** A file of so many bytes was taken over. */
export const accepted = (result: "stored" | "queued", size: number): void => {
  uploads(result)
  bytes(size)
}

/** A file was not, if it fails by an error. Of a file that was taken over this takes no step. */
export const counted = <A, E extends { readonly _tag: string; readonly reason?: unknown }, R>(
  upload: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.catchAllCause(upload, (cause) => {
    const failure = Cause.failureOption(cause)
    if (Option.isSome(failure)) {
      const { _tag, reason } = failure.value
      refusals(_tag === "BadSignature" && typeof reason === "string" ? reason : _tag)
    }
    return Effect.failCause(cause)
  })
