/** The body of a request as node's stream of it, for those who read it at their own pace. */
import { IncomingMessage } from "node:http"
import type { Readable } from "node:stream"
import type { HttpServerRequest } from "@effect/platform"
import { NodeHttpServerRequest, NodeStream } from "@effect/platform-node"
import { Effect, Option } from "effect"

/**
 * Asks the sender for the body where it waits to be asked (`Expect: 100-continue`), and gives it. It is neither
 * destroyed nor drained by who stops reading, so that an answer still gets through.
 */
export const open = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<Readable> => {
  const source: unknown = request.source
  if (!(source instanceof IncomingMessage)) return NodeStream.toReadable(request.stream)
  return Effect.sync(() => {
    if (request.headers.expect?.toLowerCase() === "100-continue")
      NodeHttpServerRequest.toServerResponse(request).writeContinue()
    return source
  })
}

/** Bytes that were announced; none where the sender did not say. */
export const announced = (request: HttpServerRequest.HttpServerRequest): Option.Option<number> => {
  const length = request.headers["content-length"]
  return length !== undefined && /^\d+$/.test(length) ? Option.some(Number(length)) : Option.none()
}
