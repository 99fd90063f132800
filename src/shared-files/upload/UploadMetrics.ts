/** What is counted of uploads. */
import { Effect } from "effect"
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

/** A file was not. */
export const refused = (error: { readonly _tag: string; readonly reason?: unknown }): Effect.Effect<void> =>
  Effect.sync(() =>
    refusals(error._tag === "BadSignature" && typeof error.reason === "string" ? error.reason : error._tag)
  )
