import { writeFileSync } from "node:fs"
import type * as Http from "node:http"
import * as Https from "node:https"
import type * as Net from "node:net"
import { Readable } from "node:stream"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Option, TestClock } from "effect"
import { makeSettings } from "../../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../../src/config/RelayConfig.ts"
import { NodeId } from "../../../src/NodeId.ts"
import * as PeerConnections from "../../../src/peers/PeerConnections.ts"
import { FileId } from "../../../src/shared-files/file/FileId.ts"
import { type SentFile, Upstream, type UpstreamService } from "../../../src/shared-files/outbox/Upstream.ts"
import * as UpstreamCalls from "../../../src/shared-files/outbox/UpstreamCalls.ts"
import { certificateNamed } from "../../support/Keys.ts"
import { endlessBodies, type MadPeer, madPeers } from "../../support/MadPeers.ts"
import { outwaited, rawServer } from "../../support/RawServer.ts"
import { holds } from "../../support/Until.ts"

const certificate = certificateNamed("relay", [["UID", "root"]])
const other = certificateNamed("other", [["UID", "root"]])

const name = { target: NodeId.make("B"), source: NodeId.make("A"), fileId: FileId.make("file.1") }

const file = (content: Buffer, over: Partial<SentFile> = {}): SentFile => ({
  name,
  ttl: "1day 2hours",
  header: "header=rudder-signature-v1\n\n",
  size: content.length,
  content: () => Readable.from([content]),
  ...over
})

/** By a clock that a test moves: however slow the machine is, only tests of silence wait in vain. */
const patience = Duration.seconds(20)

/** More than the kernel takes without anybody reading. */
const large = Buffer.alloc(32 * 1024 * 1024, "x")

const listening = (server: Net.Server) =>
  Effect.acquireRelease(
    Effect.async<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    }),
    () => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
  )

interface Received {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: Http.IncomingHttpHeaders
  readonly body: Buffer
}

type Answer = (response: Http.ServerResponse, received: Received) => void

/** An upstream that reads the whole body and answers; and the `Upstream` that calls it. */
const withUpstream = <A, E>(
  answer: Answer,
  test: (
    upstream: UpstreamService,
    received: Array<Received>,
    server: Https.Server,
    file: string
  ) => Effect.Effect<A, E>
) =>
  Effect.gen(function* () {
    const received: Array<Received> = []
    const server = Https.createServer(
      { cert: certificate.cert, key: certificate.key },
      (request, response) => {
        const parts: Array<Buffer> = []
        request.on("data", (bytes: Buffer) => parts.push(bytes))
        request.on("error", () => {})
        request.on("end", () => {
          const { method, url, headers } = request
          const one = { method, url, headers, body: Buffer.concat(parts) }
          received.push(one)
          answer(response, one)
        })
      }
    )
    const port = yield* listening(server)
    yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
    return yield* calling(new URL(`https://127.0.0.1:${port}`), (upstream, file) =>
      test(upstream, received, server, file)
    )
  }).pipe(Effect.scoped)

/** The live service against a URL, with the policy server's certificate in a file of its own. */
const calling = <A, E>(
  url: URL,
  test: (upstream: UpstreamService, certificateFile: string) => Effect.Effect<A, E>
) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "rudder-relay-upstream-" })
    const serverCertificateFile = `${directory}/policy_server.pem`
    writeFileSync(serverCertificateFile, certificate.cert)
    const settings = makeSettings({
      output: { upstream: { url: Option.some(url), serverCertificateFile } },
      sharedFiles: { forwardTimeout: patience }
    })
    return yield* Effect.flatMap(Upstream, (upstream) => test(upstream, serverCertificateFile)).pipe(
      Effect.provide(
        UpstreamCalls.layer.pipe(
          Layer.provide(PeerConnections.layer),
          Layer.provide(Layer.succeed(RelayConfig, settings))
        )
      )
    )
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

/** A server of raw bytes: what it does with each connection is told. */
const rawly = <A, E>(
  connection: (socket: Net.Socket, count: number) => void,
  test: (upstream: UpstreamService, connections: () => number) => Effect.Effect<A, E>
) =>
  Effect.gen(function* () {
    const { port, connections } = yield* rawServer(connection)
    return yield* calling(new URL(`http://127.0.0.1:${port}`), (upstream) => test(upstream, connections))
  }).pipe(Effect.scoped)

/** Whether a connection was made since now. */
const another = (connections: () => number) => {
  const before = connections()
  return () => connections() > before
}

const status =
  (code: number, body = ""): Answer =>
  (response) => {
    response.writeHead(code, { location: "/elsewhere" }).end(body)
  }

describe("a file sent up", () => {
  it.effect("is the v1 PUT: header block, content, and the ttl", () =>
    withUpstream(status(200), (upstream, received) =>
      Effect.gen(function* () {
        const content = Buffer.from([0, 1, 2, 255])
        yield* upstream.put(file(content))
        expect(received).toMatchObject([
          {
            method: "PUT",
            url: "/rudder/relay-api/shared-files/B/A/file.1?ttl=1day+2hours",
            headers: { "content-type": "application/octet-stream", "content-length": "32" },
            body: Buffer.concat([Buffer.from("header=rudder-signature-v1\n\n"), content])
          }
        ])
      })
    )
  )

  it.effect("may be large, or empty", () =>
    withUpstream(status(200), (upstream, received) =>
      Effect.gen(function* () {
        yield* upstream.put(file(large))
        yield* upstream.put(file(Buffer.alloc(0), { content: () => Readable.from([]) }))
        expect(received.map(({ body }) => body.length)).toEqual([large.length + 28, 28])
      })
    )
  )

  it.effect.each([0, 1, 256, 8 * 1024, 8 * 1024 + 1, 64 * 1024])(
    "arrives as it is where its %i bytes are at hand, whatever bytes they are",
    (size) =>
      withUpstream(status(200), (upstream, received) =>
        Effect.gen(function* () {
          const bytes = Buffer.from(Array.from({ length: size }, (_, at) => at % 256))
          const header = "note=é, 語\n\n"
          yield* upstream.put(file(bytes, { header, bytes }))
          expect(received.map(({ body }) => body)).toEqual([Buffer.concat([Buffer.from(header), bytes])])
        })
      )
  )

  it.effect.each([500, 503, 599, 301, 307, 304, 401, 407, 408, 429])(
    "and answered with %i may be taken another time",
    (code) =>
      withUpstream(status(code, "not\n  now"), (upstream, received) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(upstream.put(file(Buffer.from("x"))))
          expect(error).toMatchObject({ _tag: "UpstreamFatal" })
          expect(error.message).toBe(`the policy server answered ${code}${code === 304 ? "" : ": not now"}`)
          expect(received.length).toBe(1)
        })
      )
  )

  it.effect.each([400, 403, 404, 413, 422])("and answered with %i will not be taken", (code) =>
    withUpstream(status(code, JSON.stringify({ _tag: "BadSignature", message: "no such key" })), (upstream) =>
      Effect.gen(function* () {
        expect(yield* Effect.flip(upstream.put(file(Buffer.from("x"))))).toMatchObject({
          _tag: "UpstreamRejected",
          status: code,
          message: "no such key"
        })
      })
    )
  )

  it.effect("is told why it was not taken in 200 characters", () =>
    withUpstream(status(403, "long ".repeat(1000)), (upstream) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(upstream.put(file(Buffer.from("x"))))
        expect(error.message).toBe("long ".repeat(40))
      })
    )
  )

  it.effect("uses a connection again, and another where that one was closed meanwhile", () => {
    let connections = 0
    return withUpstream(status(200), (upstream, received, server) =>
      Effect.gen(function* () {
        server.on("secureConnection", () => connections++)
        yield* upstream.put(file(Buffer.from("1")))
        yield* upstream.put(file(Buffer.from("2")))
        expect(connections).toBe(1)
        // Too late for the client to know before it writes.
        server.prependOnceListener("request", ({ socket }: Http.IncomingMessage) => socket.destroy())
        yield* upstream.put(file(large))
        expect(received.map(({ body }) => body.length)).toEqual([29, 29, large.length + 28])
        expect(connections).toBe(2)
      })
    )
  })

  it.effect("goes to nobody else than who has the certificate that the file has now", () =>
    withUpstream(status(200), (upstream, received, _, certificateFile) =>
      Effect.gen(function* () {
        yield* upstream.put(file(Buffer.from("1")))
        writeFileSync(certificateFile, other.cert)
        expect(yield* Effect.flip(upstream.put(file(Buffer.from("2"))))).toMatchObject({
          _tag: "UpstreamUnreachable"
        })
        writeFileSync(certificateFile, certificate.cert)
        yield* upstream.put(file(Buffer.from("3")))
        expect(received.map(({ body }) => body.at(-1))).toEqual([0x31, 0x33])
      })
    )
  )

  it.effect.each([
    {
      what: "can't be read",
      content: () => new Readable({ read: () => {} }).destroy(new Error("gone")),
      says: "gone"
    },
    { what: "is shorter than it was", content: () => Readable.from([Buffer.from("123")]), says: "shorter" },
    {
      what: "is longer than it was",
      content: () => Readable.from([Buffer.from("1234"), Buffer.from("56")]),
      says: "longer"
    }
  ])("whose content $what is this relay's trouble with that file", ({ content, says }) =>
    withUpstream(status(200), (upstream, received) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(upstream.put(file(Buffer.from("12345"), { content })))
        expect(error).toMatchObject({ _tag: "UpstreamFatal" })
        expect(error.message).toContain(says)
        expect(received).toEqual([])
      })
    )
  )
})

describe("an upstream", () => {
  const refusal = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"

  it.effect("that answers before it has the body, and closes, is heard", () =>
    rawly(
      (socket) => socket.once("data", () => socket.end(refusal, () => socket.destroy())),
      (upstream) =>
        Effect.gen(function* () {
          expect(yield* Effect.flip(upstream.put(file(large)))).toMatchObject({
            _tag: "UpstreamRejected",
            status: 403,
            message: "no"
          })
        })
    )
  )

  const taken = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
  const closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
  const older = "HTTP/1.0 200 OK\r\n\r\nok"

  interface Early {
    readonly answer: string
    readonly how: string
    readonly close: (socket: Net.Socket) => void
  }
  const ways: ReadonlyArray<Omit<Early, "answer">> = [
    { how: "closes at once", close: (socket) => socket.end(() => socket.destroy()) },
    { how: "closes a moment later", close: (socket) => setImmediate(() => socket.destroy()) },
    { how: "resets the connection", close: (socket) => setImmediate(() => socket.resetAndDestroy()) }
  ]
  const earlies = [taken, closing, older].flatMap((answer) => ways.map((way): Early => ({ answer, ...way })))

  it.effect.each(earlies)(
    "that answers $answer before it has the body, and $how, is taken at its word, and sent nothing twice",
    ({ answer, close }) => {
      return rawly(
        (socket) =>
          socket.once("data", () => {
            socket.pause()
            socket.write(answer, () => close(socket))
          }),
        (upstream, connections) =>
          Effect.gen(function* () {
            for (let n = 1; n <= 20; n++) {
              yield* upstream.put(file(large))
              expect(connections()).toBe(n)
            }
          })
      )
    }
  )

  it.effect.each<MadPeer>(madPeers)("that $what is not there", ({ connection }) =>
    rawly(connection, (upstream, connections) =>
      Effect.gen(function* () {
        const hash = { algorithm: "sha256", hex: "00" } as const
        for (const asked of [upstream.put(file(large)), upstream.has(name, hash)])
          expect(yield* Effect.flip(outwaited(asked, patience, another(connections)))).toMatchObject({
            _tag: "UpstreamUnreachable"
          })
      })
    )
  )

  it.effect.each<MadPeer>(endlessBodies)("that $what has not taken a file", ({ connection }) =>
    rawly(connection, (upstream, connections) =>
      Effect.gen(function* () {
        const sending = upstream.put(file(Buffer.from("x")))
        expect(yield* Effect.flip(outwaited(sending, patience, another(connections)))).toMatchObject({
          _tag: "UpstreamUnreachable"
        })
      })
    )
  )

  it.effect("that reads slowly, but reads, has the time it takes", () => {
    const peer: { socket?: Net.Socket; received: number } = { received: 0 }
    const size = 4 * large.length
    const piece = large.subarray(0, 1 << 20)
    let given = 0
    function* pieces() {
      for (; given < size; given += piece.length) yield piece
    }
    return rawly(
      (socket) => {
        peer.socket = socket.pause()
        socket.on("data", (bytes: Buffer) => {
          peer.received += bytes.length
          if (peer.received >= 28 + size) socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        })
      },
      (upstream) =>
        Effect.gen(function* () {
          const sending = yield* Effect.fork(
            upstream.put(file(large, { size, content: () => Readable.from(pieces()) }))
          )
          let waits = 0
          while (given < size) {
            const before = given
            peer.socket?.resume()
            yield* holds(
              "more is asked for",
              Effect.sync(() => given > before)
            )
            peer.socket?.pause()
            // Not as long as its patience, but far longer in all.
            yield* TestClock.adjust(Duration.times(patience, 1 / 2))
            waits++
          }
          peer.socket?.resume()
          yield* Fiber.join(sending)
          expect(waits).toBeGreaterThan(10)
        })
    )
  })

  it.effect("is asked by HEAD whether it has a file", () => {
    const codes = [200, 404, 500, 401, 403]
    return withUpstream(
      (response) => response.writeHead(codes.shift() ?? 0).end(),
      (upstream, received) =>
        Effect.gen(function* () {
          const has = upstream.has(name, { algorithm: "sha256", hex: "ab".repeat(32) })
          expect(yield* has).toBe(true)
          expect(yield* has).toBe(false)
          expect(yield* Effect.flip(has)).toMatchObject({ _tag: "UpstreamFatal" })
          expect(yield* Effect.flip(has)).toMatchObject({ _tag: "UpstreamFatal" })
          // A relay between says so of a file that the one above it refused.
          expect(yield* Effect.flip(has)).toMatchObject({ _tag: "UpstreamRejected", status: 403 })
          expect(received[0]).toMatchObject({
            method: "HEAD",
            url: `/rudder/relay-api/shared-files/B/A/file.1?hash=${"ab".repeat(32)}`
          })
        })
    )
  })
})
