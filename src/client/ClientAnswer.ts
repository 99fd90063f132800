/** An answer as node received it, in the platform's form. */
import type { IncomingMessage } from "node:http"
import {
  Cookies,
  Headers,
  HttpClientError,
  type HttpClientRequest,
  HttpClientResponse,
  HttpIncomingMessage,
  UrlParams
} from "@effect/platform"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, Inspectable, Option, Stream } from "effect"

/** The body is read once, as a stream or as a whole; errors are of reason `Decode`. */
export const make = (
  request: HttpClientRequest.HttpClientRequest,
  message: IncomingMessage
): HttpClientResponse.HttpClientResponse => {
  const failed = (cause: unknown): HttpClientError.ResponseError =>
    new HttpClientError.ResponseError({ request, response, reason: "Decode", cause })
  const bytes = Effect.runSync(
    Effect.cached(
      Effect.flatMap(HttpIncomingMessage.MaxBodySize, (max) =>
        Effect.suspend(() => {
          const lost = lossOf(message)
          return lost === undefined
            ? NodeStream.toUint8Array(() => message, {
                onFailure: failed,
                maxBytes: Option.getOrUndefined(Option.map(max, Number))
              })
            : failed(lost)
        })
      )
    )
  )
  const text = Effect.map(bytes, (all) => new TextDecoder().decode(all))
  const response: HttpClientResponse.HttpClientResponse = {
    ...Inspectable.BaseProto,
    [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId,
    [HttpClientResponse.TypeId]: HttpClientResponse.TypeId,
    request,
    status: message.statusCode ?? 0,
    headers: Headers.fromInput(headersOf(message)),
    cookies: Cookies.fromSetCookie(message.headers["set-cookie"] ?? []),
    remoteAddress: Option.fromNullable(message.socket.remoteAddress),
    stream: Stream.suspend(() => {
      const lost = lossOf(message)
      return lost === undefined
        ? NodeStream.fromReadable<HttpClientError.ResponseError, Uint8Array>(() => message, failed)
        : Stream.fail(failed(lost))
    }),
    text,
    json: Effect.flatMap(text, (json) =>
      Effect.try({ try: (): unknown => (json === "" ? null : JSON.parse(json)), catch: failed })
    ),
    urlParamsBody: Effect.map(text, (form) => UrlParams.fromInput(new URLSearchParams(form))),
    arrayBuffer: Effect.map(bytes, (all) => Uint8Array.from(all).buffer),
    formData: Effect.flatMap(bytes, (all) =>
      Effect.tryPromise({
        try: () =>
          new Response(Uint8Array.from(all), {
            headers: { "content-type": message.headers["content-type"] ?? "" }
          }).formData(),
        catch: failed
      })
    ),
    toJSON: () =>
      HttpIncomingMessage.inspect(response, {
        _id: "@effect/platform/HttpClientResponse",
        request: request.toJSON(),
        status: response.status
      })
  }
  return response
}

/** Of a header that came more than once, all values. */
const headersOf = ({ headers }: IncomingMessage): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(", ") : (value ?? "")
    ])
  )

/** Why an answer that nobody has read yet can't be read any more: its stream has told so before, and does not again. */
const lossOf = (message: IncomingMessage): Error | undefined =>
  message.errored ??
  (message.destroyed && !message.complete ? new Error("the answer was cut off") : undefined)
