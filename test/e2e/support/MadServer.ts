/**
 * A policy server and sub-relay in one that has gone mad: TLS with the certificate of an identity, and behind it raw bytes
 * that a test chooses. It can come to its senses.
 */
import { readFileSync } from "node:fs"
import { createServer, type Socket } from "node:net"
import { createSecureContext, TLSSocket } from "node:tls"
import type { Identity } from "./Identities.ts"

export interface MadRequest {
  readonly method: string
  readonly target: string
  readonly headers: string
  readonly body: Buffer
  /** Whether the body is there as a whole, or there is none. */
  readonly whole: boolean
}

/** What one connection is given, once its request's head is there. */
export type Madness = (request: MadRequest, connection: TLSSocket, under: Socket) => void

export interface MadServer {
  readonly port: number
  /** What it does from now on; `early`: as soon as the head is there, not the body. */
  readonly behave: (madness: Madness, early?: () => boolean) => void
  readonly requests: () => number
  readonly close: () => Promise<void>
}

const lengthOf = (headers: string): number => Number(/^content-length: *(\d+)/im.exec(headers)?.[1] ?? 0)

const isChunked = (headers: string): boolean => /^transfer-encoding: *chunked/im.test(headers)

/** The content of a chunked body, or undefined where its end is not there yet. */
const dechunked = (bytes: Buffer): Buffer | undefined => {
  const parts: Array<Buffer> = []
  for (let at = 0; ; ) {
    const end = bytes.indexOf("\r\n", at)
    if (end < 0) return undefined
    const size = Number.parseInt(bytes.subarray(at, end).toString("latin1"), 16)
    if (bytes.length < end + 4 + size) return undefined
    if (size === 0) return Buffer.concat(parts)
    parts.push(bytes.subarray(end + 2, end + 2 + size))
    at = end + 4 + size
  }
}

/** The request that these bytes begin with; undefined: its head is not there yet. */
const parsed = (bytes: Buffer): MadRequest | undefined => {
  const end = bytes.indexOf("\r\n\r\n")
  if (end < 0) return undefined
  const [line = "", ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n")
  const [method = "", target = ""] = line.split(" ")
  const headers = lines.join("\n")
  const rest = bytes.subarray(end + 4)
  const body = isChunked(headers) ? dechunked(rest) : rest
  const whole = body !== undefined && (isChunked(headers) || rest.length >= lengthOf(headers))
  return { method, target, headers, body: body ?? Buffer.alloc(0), whole }
}

export const startMadServer = async (identity: Identity): Promise<MadServer> => {
  const secureContext = createSecureContext({ cert: identity.pem, key: readFileSync(identity.key) })
  const sockets = new Set<Socket>()
  let behaviour: Madness = (_, connection) => connection.destroy()
  let isEarly = () => false
  let requests = 0
  const server = createServer((under) => {
    sockets.add(under)
    under.on("error", () => {})
    under.once("close", () => sockets.delete(under))
    const connection = new TLSSocket(under, { isServer: true, secureContext })
    connection.on("error", () => {})
    let bytes = Buffer.alloc(0)
    let answered = false
    let early: boolean | undefined
    connection.on("data", (more: Buffer) => {
      if (answered) return
      bytes = Buffer.concat([bytes, more])
      const request = parsed(bytes)
      if (request === undefined) return
      early ??= isEarly()
      if (!request.whole && !early) return
      answered = true
      requests++
      behaviour(request, connection, under)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    behave: (madness, early = () => false) => {
      behaviour = madness
      isEarly = early
    },
    requests: () => requests,
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    }
  }
}
