/**
 * An answer, written to node's response. One whose bytes are all there is written when it is given, in one piece, and
 * nobody waits until the system has it; of the others, what is still to come is an effect.
 */
import type { ServerResponse } from "node:http"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import {
  Cookies,
  type HttpBody,
  HttpServerError,
  type HttpServerRequest,
  type HttpServerResponse
} from "@effect/platform"
import { Chunk, Effect, Stream } from "effect"
import type { FlatHeaders } from "./BegunRequest.ts"

type Response = HttpServerResponse.HttpServerResponse

/** What is to be answered, and where. */
export interface Answering {
  readonly request: HttpServerRequest.HttpServerRequest
  readonly node: ServerResponse
  readonly response: Response
  /** What goes out in the place of what the answer itself has under these names. */
  readonly headers: FlatHeaders
}

const isAmong = (headers: FlatHeaders, name: string): boolean => {
  for (let at = 0; at < headers.length; at += 2) if (headers[at] === name) return true
  return false
}

/** All headers in one list, which node needs not put together again. */
const headersOf = ({
  headers: more,
  response: { cookies, headers }
}: Answering): Array<string | string[]> => {
  const flat: Array<string | string[]> = [...more]
  const ofCookies = Cookies.isEmpty(cookies) ? [] : Cookies.toSetCookieHeaders(cookies)
  for (const name of Object.keys(headers)) {
    const value = headers[name]
    if (value === undefined || isAmong(more, name)) continue
    if (name === "set-cookie" && ofCookies.length > 0) ofCookies.push(value)
    else flat.push(name, value)
  }
  if (ofCookies.length > 0) flat.push("set-cookie", ofCookies)
  return flat
}

/**
 * Writes an answer, or its beginning. Where there is one already, or nobody any more, nothing is written.
 *
 * @returns what is still to be done, until all of it has been given to node; undefined: nothing
 * @throws what node throws where the head can't be written, such as a header with a line end in it; nothing has been
 * written then
 */
export const write = (
  answering: Answering
): Effect.Effect<void, HttpServerError.ResponseError> | undefined => {
  const { request, node, response } = answering
  const { body, status } = response
  // What a body has open is closed by being piped, to nobody too.
  if (node.writableEnded || (node.destroyed && body._tag !== "Raw")) return undefined
  const headers = headersOf(answering)
  if (request.method === "HEAD" || body._tag === "Empty") {
    node.writeHead(status, headers).end()
    return undefined
  }
  switch (body._tag) {
    case "Uint8Array":
      node.writeHead(status, headers).end(body.body)
      return undefined
    case "Raw":
      node.writeHead(status, headers)
      return raw(answering, body)
    case "FormData": {
      const form = new globalThis.Response(body.formData)
      node.writeHead(status, [...headers, ...[...form.headers].flat()])
      return form.body === null ? ended(node) : piped(answering, Readable.from(form.body))
    }
    case "Stream":
      node.writeHead(status, headers)
      return streamed(node, body.stream)
  }
}

const ended = (node: ServerResponse): undefined => {
  node.end()
}

const isReadable = (value: unknown): value is NodeJS.ReadableStream =>
  typeof value === "object" && value !== null && "pipe" in value && typeof value.pipe === "function"

const raw = (answering: Answering, { body }: HttpBody.Raw) => {
  if (isReadable(body)) return piped(answering, body)
  // Bytes or text; what else it is, node says.
  answering.node.end(body)
  return undefined
}

/** Where it is interrupted, or either end fails, node closes both. */
const piped = ({ request, node, response }: Answering, source: NodeJS.ReadableStream) =>
  Effect.tryPromise({
    try: (signal) => pipeline(source, node, { signal, end: true }),
    catch: (cause) => new HttpServerError.ResponseError({ request, response, reason: "Decode", cause })
  }).pipe(Effect.interruptible)

/**
 * No more comes than the caller takes: the next chunk is asked for when node has room again. One that breaks off closes the
 * connection, since an answer that just ends would look complete.
 */
const streamed = (node: ServerResponse, stream: Stream.Stream<Uint8Array, unknown>) => {
  const room = Effect.unsafeMakeLatch(true)
  node.on("drain", () => room.unsafeOpen())
  return stream.pipe(
    Stream.orDie,
    Stream.runForEachChunk((chunk) => {
      let hasRoom = true
      for (const bytes of Chunk.toReadonlyArray(chunk)) hasRoom = node.write(bytes)
      if (hasRoom) return Effect.void
      room.unsafeClose()
      return room.await
    }),
    Effect.interruptible,
    Effect.matchCauseEffect({
      onSuccess: () => Effect.sync(() => void node.end()),
      onFailure: (cause) =>
        Effect.andThen(
          Effect.sync(() => void node.destroy()),
          Effect.failCause(cause)
        )
    })
  )
}
