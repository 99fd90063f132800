/**
 * What comes in and can't be read as a request. Node would answer it by itself, and nobody would hear of it: here such an
 * answer has an id, as every other has, and the log a line with it.
 */
import * as Http from "node:http"
import type { Server as HttpsServer } from "node:https"
import type { Socket } from "node:net"
import { Effect, FiberSet, type Scope } from "effect"
import * as RefusalLog from "../access/RefusalLog.ts"
import type { Settings } from "../config/Settings.ts"
import * as RequestBody from "../http/RequestBody.ts"
import * as RequestId from "../http/RequestId.ts"

interface Refusal {
  readonly status: 400 | 408 | 431
  readonly tag: "InvalidRequest" | "RequestTimeout"
  readonly message: string
}

/** What node's word for it means; undefined where there is nobody to answer, such as in a TLS handshake that failed. */
const refusalOf = (code: string, { maxHeaderSize }: Settings["limits"]): Refusal | undefined => {
  if (code === "HPE_HEADER_OVERFLOW")
    return {
      status: 431,
      tag: "InvalidRequest",
      message: `headers: expected at most ${maxHeaderSize} bytes (limits.max_header_size)`
    }
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return { status: 408, tag: "RequestTimeout", message: "headers: not within limits.headers_timeout" }
  return code.startsWith("HPE_")
    ? { status: 400, tag: "InvalidRequest", message: `what was sent is no HTTP request: ${code}` }
    : undefined
}

const answerOf = ({ status, tag, message }: Refusal, id: string): string => {
  const body = JSON.stringify({ _tag: tag, message })
  return [
    `HTTP/1.1 ${status} ${Http.STATUS_CODES[status]}`,
    "Connection: close",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    `${RequestId.header}: ${id}`,
    "",
    body
  ].join("\r\n")
}

/**
 * Whether a TLS handshake was refused by one side, and did not just break off: who tries a port, or looks whether it is
 * open, is of no interest.
 */
const isHandshake = (code: string): boolean =>
  code.startsWith("ERR_SSL_") || code === "ERR_TLS_HANDSHAKE_TIMEOUT"

/** OpenSSL's own words: what comes before them are numbers. */
const reasonOf = ({ message }: Error): string => {
  const reason: unknown = /:([^:]+):[^:]*:\d+:.*$/s.exec(message)?.[1]
  return typeof reason === "string" ? reason : (message.split("\n")[0] ?? "")
}

/**
 * Does this where nothing is to be answered there before it: behind the answers to all requests that came before. Where
 * what came is in the body of the last of them, the answer to that is the only one, and the connection ends with it.
 */
const inTurn = (socket: Socket, error: Error, act: () => void): void => {
  const response: unknown = Reflect.get(socket, "_httpMessage")
  if (!(response instanceof Http.ServerResponse)) {
    act()
    return
  }
  const { req } = response
  if (req.complete) {
    response.once("close", () => inTurn(socket, error, act))
    return
  }
  response.shouldKeepAlive = false
  response.once("close", () => {
    if (socket.writable) socket.destroySoon()
  })
  RequestBody.breakOff(req, error)
}

const codeOf = (error: Error): string => {
  const code: unknown = Reflect.get(error, "code")
  return typeof code === "string" ? code : ""
}

/** A line a minute for each address, of which nothing else is known, and 200 in all. */
const bounds: RefusalLog.Bounds = { ofOne: 1, ofAll: 200 }

/** Answers what this server can't read, and has a line for it in the log, as long as the scope lasts. */
export const answered = (
  server: Http.Server | HttpsServer,
  limits: Settings["limits"]
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const warn = yield* RefusalLog.bounded(bounds)
    const fork = yield* FiberSet.makeRuntime()
    const refused = new WeakSet<Socket>()
    server.on("clientError", (error, socket: Socket) => {
      // What follows on a connection that is being closed fails again.
      if (refused.has(socket)) return
      refused.add(socket)
      const code = codeOf(error)
      const refusal = refusalOf(code, limits)
      if (refusal === undefined) {
        const address = socket.remoteAddress ?? ""
        const line = { address, error: reasonOf(error), tag: code }
        if (isHandshake(code)) fork(warn("a TLS handshake failed", `tls ${address}`, line))
        return void socket.destroy(error)
      }
      inTurn(socket, error, () => {
        // It is being closed already: after an answer that says so, or by its caller.
        if (!socket.writable) return
        const id = RequestId.of(undefined)
        const address = socket.remoteAddress ?? ""
        socket.write(answerOf(refusal, id))
        socket.destroySoon()
        // Who connected and said nothing has asked for nothing.
        if (socket.bytesRead === 0) return
        const { status, tag, message } = refusal
        const line = { request: id, address, status, tag, error: message }
        fork(warn("what was sent could not be read as a request", address, line))
      })
    })
  })
