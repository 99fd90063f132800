/** Connections over TLS: by whom a relay is trusted, and how it knows its caller. */
import { createHash } from "node:crypto"
import * as Https from "node:https"
import * as Net from "node:net"
import type { TLSSocket } from "node:tls"
import { HttpClient, HttpClientRequest } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as ClientConnection from "../../src/client/ClientConnection.ts"
import { certificateNamed } from "../support/Keys.ts"
import { eventually } from "../support/Until.ts"

const relay = certificateNamed("relay", [["UID", "relay"]])
const other = certificateNamed("other", [["UID", "other"]])
const caller = certificateNamed("source", [["UID", "root"]])

/** A server that says which key its caller has shown. */
const server = Effect.gen(function* () {
  const listening = Https.createServer(
    { cert: relay.cert, key: relay.key, requestCert: true, rejectUnauthorized: false },
    ({ socket }, response) => {
      // An HTTPS server's sockets are TLS sockets.
      const peer = (socket as TLSSocket).getPeerX509Certificate()
      response.end(
        peer === undefined
          ? "nobody"
          : createHash("sha256")
              .update(peer.publicKey.export({ type: "spki", format: "der" }))
              .digest("hex")
      )
    }
  )
  yield* Effect.acquireRelease(
    Effect.async<void>((resume) => void listening.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () =>
      Effect.sync(() => {
        listening.close()
        listening.closeAllConnections()
      })
  )
  const address = listening.address()
  return `https://127.0.0.1:${typeof address === "object" ? address?.port : ""}/`
})

const asking = (options: ClientConnection.ConnectionOptions) =>
  Effect.gen(function* () {
    const url = yield* server
    return yield* Effect.flatMap(HttpClient.get(url), (answer) => answer.text).pipe(
      Effect.provide(ClientConnection.layer(options))
    )
  })

describe("a connection over TLS", () => {
  it.scopedLive(
    "knows the relay by a certificate that is pinned, whatever its names, and shows its own",
    () =>
      Effect.gen(function* () {
        expect(yield* asking({ pinned: relay.cert })).toBe("nobody")
        expect(yield* asking({ pinned: other.cert + relay.cert })).toBe("nobody")
        expect(yield* asking({ pinned: relay.cert, cert: caller.cert, key: caller.key })).toBe(
          createHash("sha256").update(caller.spki).digest("hex")
        )
      })
  )

  it.scopedLive(
    "trusts the relay's own certificate without a look at names, where that may be an authority's too",
    () =>
      Effect.gen(function* () {
        expect(yield* asking({ trusted: other.cert + relay.cert })).toBe("nobody")
      })
  )

  it.scopedLive("is none with a relay that is another, or whose name is another", () =>
    Effect.gen(function* () {
      for (const options of [{}, { pinned: other.cert }, { ca: relay.cert }, { trusted: other.cert }])
        expect(yield* Effect.flip(asking(options))).toMatchObject({ _tag: "RequestError" })
    })
  )
})

/** A server of plain TCP that does this with each connection, the first one being 1. */
const raw = (served: (socket: Net.Socket, count: number) => void) =>
  Effect.gen(function* () {
    const sockets = new Set<Net.Socket>()
    let count = 0
    const listening = Net.createServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => {})
      served(socket, ++count)
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => void listening.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () =>
        Effect.sync(() => {
          listening.close()
          for (const socket of sockets) socket.destroy()
        })
    )
    const address = listening.address()
    return `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}/`
  })

const answer = (text: string, more = "") =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n${more}\r\n${text}`

describe("a connection", () => {
  it.scopedLive("gives an answer that comes before all was sent, and sends no more", () =>
    Effect.gen(function* () {
      const url = yield* raw((socket) => {
        socket.once("data", () => {
          socket.write("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlong")
          // What was sent and not read has the kernel reset the connection.
          setImmediate(() => socket.pause().destroy())
        })
      })
      const pieces = Stream.forever(Stream.make(Buffer.alloc(65_536)))
      const request = HttpClientRequest.post(url).pipe(HttpClientRequest.bodyStream(pieces))
      const told = Effect.flatMap(HttpClient.execute(request), (given) =>
        Effect.map(given.text, (text) => [given.status, text])
      )
      expect(yield* Effect.provide(told, ClientConnection.layer())).toEqual([413, "long"])
    })
  )

  it.scopedLive("that was used before and is gone is replaced for who asks, and never for who changes", () =>
    Effect.gen(function* () {
      const counts: Array<number> = []
      const url = yield* raw((socket, count) => {
        socket.once("data", () => {
          counts.push(count)
          socket.write(answer("one"))
          socket.once("data", () => socket.resetAndDestroy())
        })
      })
      const text = (request: HttpClientRequest.HttpClientRequest) =>
        Effect.flatMap(HttpClient.execute(request), (given) => given.text)
      yield* Effect.gen(function* () {
        expect(yield* text(HttpClientRequest.get(url))).toBe("one")
        expect(yield* text(HttpClientRequest.get(url))).toBe("one")
        expect(counts).toEqual([1, 2])
        expect(yield* text(HttpClientRequest.post(url))).toBe("one")
        expect(yield* text(HttpClientRequest.post(url))).toBe("one")
        expect(counts).toEqual([1, 2, 3, 4])
      }).pipe(Effect.provide(ClientConnection.layer()))
    })
  )

  it.scopedLive("that is cut is an error, also for who reads the answer later", () =>
    Effect.gen(function* () {
      let over = 0
      const url = yield* raw((socket) => {
        socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"))
        socket.once("close", () => over++)
      })
      yield* Effect.gen(function* () {
        for (const later of [false, true]) {
          const given = yield* HttpClient.get(url)
          if (later) yield* eventually(() => over === 3)
          expect(yield* Effect.flip(given.text)).toMatchObject({ _tag: "ResponseError" })
          const streamed = yield* HttpClient.get(url)
          if (later) yield* eventually(() => over === 4)
          expect(yield* Effect.flip(Stream.runDrain(streamed.stream))).toMatchObject({
            _tag: "ResponseError"
          })
        }
        const nobody = yield* raw((socket) => socket.destroy())
        expect(yield* Effect.flip(HttpClient.get(nobody))).toMatchObject({ _tag: "RequestError" })
      }).pipe(Effect.provide(ClientConnection.layer()))
    })
  )

  it.scopedLive("sends no body whose making fails, and says so", () =>
    Effect.gen(function* () {
      const url = yield* raw((socket) => socket.resume())
      const body: Stream.Stream<Uint8Array, string> = Stream.concat(
        Stream.make(Buffer.from("a")),
        Stream.fail("no more")
      )
      const request = HttpClientRequest.post(url).pipe(HttpClientRequest.bodyStream(body))
      const error = yield* Effect.flip(HttpClient.execute(request)).pipe(
        Effect.provide(ClientConnection.layer())
      )
      expect(error).toMatchObject({ _tag: "RequestError", reason: "Encode", cause: "no more" })
    })
  )
})
