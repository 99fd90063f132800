/** The body of a request, for those who read it at their own pace. */
import { IncomingMessage } from "node:http"
import type { HttpServerRequest } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, Either, Option, type Scope } from "effect"
import { InvalidRequest } from "../RelayError.ts"
import * as StreamReader from "./StreamReader.ts"

/** A reader of the body that fails with `InvalidRequest` where the sender breaks off. */
export type RequestBody = StreamReader.StreamReader<InvalidRequest>

/** The body ended before all of it was there. */
export const cut = new InvalidRequest({ message: "the body was cut short" })

/** Bodies of which no more can be read, though their connections are open. */
const broken = new WeakSet<IncomingMessage>()

/** No more of this body can be read: who reads it, or begins to, finds it cut short behind what came. */
export const breakOff = (message: IncomingMessage, error: Error): void => {
  broken.add(message)
  if (message.listenerCount("error") > 0) message.emit("error", error)
}

/**
 * Asks the sender for the body where it waits to be asked (`Expect: 100-continue`), and reads it until its scope ends.
 * What is not read stays where it is, so that an answer still gets through.
 */
export const open = (
  request: HttpServerRequest.HttpServerRequest
): Effect.Effect<RequestBody, never, Scope.Scope> => {
  const source: unknown = request.source
  if (!(source instanceof IncomingMessage))
    return Effect.flatMap(NodeStream.toReadable(request.stream), (stream) => StreamReader.open(stream, cut))
  return Effect.suspend(() => {
    if (broken.has(source)) return StreamReader.open(source, cut, true)
    // HTTP/1.0 knows no answer before the answer (RFC 9110, 10.1.1).
    if (request.headers.expect?.toLowerCase() === "100-continue" && source.httpVersion !== "1.0")
      NodeHttpServerRequest.toServerResponse(request).writeContinue()
    return StreamReader.open(source, cut)
  })
}

const encoded = new InvalidRequest({
  parameter: "Content-Encoding",
  message: "Content-Encoding: expected none, since a body is taken as it comes"
})

/** Refuses a body that has to be decoded before it is what it is meant to be: compressed, for one. */
export const plain = ({
  headers
}: HttpServerRequest.HttpServerRequest): Either.Either<void, InvalidRequest> => {
  const encoding = headers["content-encoding"]
  return encoding === undefined || /^(identity)?$/i.test(encoding.trim()) ? Either.void : Either.left(encoded)
}

/** Bytes that were announced; none where the sender did not say. */
export const announced = (request: HttpServerRequest.HttpServerRequest): Option.Option<number> => {
  const length = request.headers["content-length"]
  return length !== undefined && /^\d+$/.test(length) ? Option.some(Number(length)) : Option.none()
}
