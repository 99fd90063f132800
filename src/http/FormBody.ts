/** The form of a request, read within its bounds. */

import { IncomingMessage } from "node:http"
import type { HttpServerRequest } from "@effect/platform"
import { NodeHttpServerRequest } from "@effect/platform-node"
import { Duration, Effect } from "effect"
import { InvalidRequest, PayloadTooLarge } from "../RelayError.ts"

/** A form is at most this long. Bytes. */
export const maxFormLength = 1024 * 1024

const formType = "application/x-www-form-urlencoded"

/** Collects a body; the message is neither destroyed nor drained where it is too long, so that the answer gets through. */
const collect = (message: IncomingMessage, idle: Duration.Duration) =>
  Effect.async<Buffer, PayloadTooLarge | InvalidRequest>((resume) => {
    const parts: Array<Buffer> = []
    let length = 0
    let timer: NodeJS.Timeout | undefined
    const finish = (result: Effect.Effect<Buffer, PayloadTooLarge | InvalidRequest>) => {
      clearTimeout(timer)
      message.off("data", onData).off("end", onEnd).off("error", onError).off("close", onError)
      resume(result)
    }
    const watch = () => {
      clearTimeout(timer)
      timer = setTimeout(
        () => finish(new InvalidRequest({ message: "the body stopped coming" })),
        Duration.toMillis(idle)
      )
    }
    const onData = (bytes: Buffer) => {
      length += bytes.length
      if (length > maxFormLength) {
        message.pause()
        return finish(new PayloadTooLarge({ message: "a form is at most 1 MiB", limit: maxFormLength }))
      }
      parts.push(bytes)
      watch()
    }
    const onEnd = () => finish(Effect.succeed(Buffer.concat(parts)))
    const onError = () => finish(new InvalidRequest({ message: "the body was cut short" }))
    message.on("data", onData).on("end", onEnd).on("error", onError).on("close", onError)
    watch()
    return Effect.sync(() => finish(Effect.never))
  })

/**
 * The entries of an `application/x-www-form-urlencoded` body; none where there is no body. Fails with `InvalidRequest`
 * for another type, with `PayloadTooLarge` over 1 MiB, before it is read where its length is announced.
 */
export const read = (
  request: HttpServerRequest.HttpServerRequest,
  idle: Duration.Duration
): Effect.Effect<ReadonlyArray<readonly [string, string]>, InvalidRequest | PayloadTooLarge> =>
  Effect.gen(function* () {
    const announced = Number(request.headers["content-length"] ?? 0)
    if (announced === 0 && request.headers["transfer-encoding"] === undefined) return []
    const type = request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase()
    if (type !== undefined && type !== formType)
      return yield* new InvalidRequest({
        parameter: "Content-Type",
        message: `Content-Type: expected ${formType}`
      })
    if (announced > maxFormLength)
      return yield* new PayloadTooLarge({ message: "a form is at most 1 MiB", limit: maxFormLength })
    const text = yield* bodyText(request, idle)
    return [...new URLSearchParams(text)]
  })

const bodyText = (request: HttpServerRequest.HttpServerRequest, idle: Duration.Duration) => {
  const source: unknown = request.source
  if (!(source instanceof IncomingMessage))
    return Effect.mapError(request.text, () => new InvalidRequest({ message: "the body can't be read" }))
  return Effect.suspend(() => {
    const response = NodeHttpServerRequest.toServerResponse(request)
    if (request.headers.expect?.toLowerCase() === "100-continue") response.writeContinue()
    return Effect.map(collect(source, idle), (bytes) => bytes.toString("utf8"))
  })
}
