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
 * The answer to an earlier request that goes out there, or is still to come: nothing may come into the middle of it, or in
 * its place, since that request has had its effect.
 */
const answerUnderWay = (socket: Socket): Http.ServerResponse | undefined => {
  const response: unknown = Reflect.get(socket, "_httpMessage")
  return response instanceof Http.ServerResponse && (response.headersSent || response.req.complete)
    ? response
    : undefined
}

/** Closes the connection behind an answer. */
const closeBehind = (response: Http.ServerResponse, socket: Socket): void => {
  response.shouldKeepAlive = false
  response.once("close", () => socket.destroySoon())
}

/** Tells who reads a body there, before anything has been answered; false: nobody does. */
const isTold = (socket: Socket, error: Error): boolean => {
  const response: unknown = Reflect.get(socket, "_httpMessage")
  if (!(response instanceof Http.ServerResponse) || response.headersSent || response.req.complete)
    return false
  // Nothing that comes behind it can be read.
  response.shouldKeepAlive = false
  return response.req.listenerCount("error") > 0 && response.req.emit("error", error)
}

const codeOf = (error: Error): string => {
  const code: unknown = Reflect.get(error, "code")
  return typeof code === "string" ? code : ""
}

const unreadable = "what was sent could not be read as a request"

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
      const refusal = refusalOf(codeOf(error), limits)
      // What reads the body answers: for one request there is one answer, one id, and one line.
      if (refusal !== undefined && isTold(socket, error)) return
      const address = socket.remoteAddress ?? ""
      if (isHandshake(codeOf(error)))
        fork(
          warn("a TLS handshake failed", `tls ${address}`, {
            address,
            error: reasonOf(error),
            tag: codeOf(error)
          })
        )
      if (refusal === undefined || !socket.writable) return void socket.destroy(error)
      const { status, tag, message } = refusal
      const what = { address, tag, error: message }
      const before = answerUnderWay(socket)
      if (before !== undefined) {
        closeBehind(before, socket)
        return void fork(warn(unreadable, address, what))
      }
      const id = RequestId.of(undefined)
      socket.write(answerOf(refusal, id))
      socket.destroySoon()
      // Who connected and said nothing has asked for nothing.
      if (socket.bytesRead === 0) return
      fork(warn(unreadable, address, { ...what, request: id, status }))
    })
  })
