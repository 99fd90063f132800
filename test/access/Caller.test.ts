import { createHash } from "node:crypto"
import { once } from "node:events"
import * as http from "node:http"
import * as https from "node:https"
import { connect, type Socket } from "node:net"
import type { TLSSocket } from "node:tls"
import { HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { type Caller, callerOf, isEncrypted, localAddress } from "../../src/access/Caller.ts"
import { certificateNamed } from "../support/Keys.ts"

interface Seen {
  readonly caller: Caller
  readonly again: Caller
  readonly encrypted: boolean
  readonly local: string | undefined
}

const look = (request: HttpServerRequest.HttpServerRequest): Seen => ({
  caller: callerOf(request),
  again: callerOf(request),
  encrypted: isEncrypted(request),
  local: localAddress(request)
})

/** A listening server that hands over what it sees of a request, after `before` had its way. */
const serving = <S extends http.Server>(
  server: S,
  before: (message: http.IncomingMessage) => void = () => {}
) =>
  Effect.gen(function* () {
    const seen: Array<Seen> = []
    const handler = yield* NodeHttpServer.makeHandler(
      Effect.map(HttpServerRequest.HttpServerRequest, (request) => {
        seen.push(look(request))
        return HttpServerResponse.empty()
      })
    )
    server.on("request", (message, response) => {
      before(message)
      handler(message, response)
    })
    server.listen(0, "127.0.0.1")
    yield* Effect.acquireRelease(
      Effect.promise(() => once(server, "listening")),
      () => Effect.promise(() => once(server.close(), "close"))
    )
    const address = server.address()
    return { seen, port: typeof address === "object" && address !== null ? address.port : 0 }
  })

/** Waits for the end of a connection, orderly or not. */
const closed = (socket: Socket) =>
  Effect.async<void>((resume) => {
    socket.on("error", () => {})
    socket.on("close", () => resume(Effect.void))
    socket.resume()
  })

/** Sends a request and waits until it is answered. */
const answered = (sent: http.ClientRequest) =>
  Effect.promise(async () => {
    sent.end()
    const [response] = await once(sent, "response")
    response.resume()
    await once(response, "close")
  })

describe("the caller of a request over plain HTTP", () => {
  it.scopedLive("has an address and nothing else", () =>
    Effect.gen(function* () {
      const { port, seen } = yield* serving(http.createServer())
      yield* answered(http.request({ port, host: "127.0.0.1", agent: false }))
      const caller = { peer: "127.0.0.1", forwardedFor: undefined, certificate: Option.none() }
      expect(seen).toEqual([{ caller, again: caller, encrypted: false, local: "127.0.0.1" }])
    })
  )

  it.scopedLive("has all its X-Forwarded-For headers, in their order", () =>
    Effect.gen(function* () {
      const { port, seen } = yield* serving(http.createServer())
      const socket = connect(port, "127.0.0.1")
      socket.end(
        "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2,\r\n" +
          "X-FORWARDED-FOR: 192.0.2.3\r\nConnection: close\r\n\r\n"
      )
      yield* closed(socket)
      expect(seen.map(({ caller }) => caller.forwardedFor)).toEqual(["192.0.2.1, 192.0.2.2,, 192.0.2.3"])
    })
  )

  it.scopedLive("has no address when the connection is gone", () =>
    Effect.gen(function* () {
      const { port, seen } = yield* serving(http.createServer(), (message) => message.socket.destroy())
      const socket = connect(port, "127.0.0.1")
      socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      yield* closed(socket)
      expect(seen.map(({ caller }) => caller.peer)).toEqual([""])
    })
  )
})

const server = certificateNamed("relay", [["CN", "relay"]])

const tlsServer = () =>
  https.createServer({ cert: server.cert, key: server.key, requestCert: true, rejectUnauthorized: false })

/** What the server sees of a client with this certificate. */
const showing = (
  client: Partial<ReturnType<typeof certificateNamed>>,
  version: "TLSv1.2" | "TLSv1.3" = "TLSv1.3"
) =>
  Effect.gen(function* () {
    const { port, seen } = yield* serving(tlsServer())
    yield* answered(
      https.request({
        port,
        host: "127.0.0.1",
        agent: false,
        rejectUnauthorized: false,
        minVersion: version,
        maxVersion: version,
        ...(client.cert === undefined ? {} : { cert: client.cert, key: client.key })
      })
    )
    return seen
  }).pipe(Effect.scoped)

const uidShown = (client: ReturnType<typeof certificateNamed>) =>
  Effect.map(showing(client), (seen) =>
    seen.map(({ caller }) => Option.getOrUndefined(Option.flatMap(caller.certificate, ({ uid }) => uid)))
  )

describe("the caller of a request over TLS", () => {
  it.live.each(["TLSv1.2", "TLSv1.3"] as const)(
    "has the key and the id of its certificate, with %s",
    (version) =>
      Effect.gen(function* () {
        const client = certificateNamed("source", [["UID", "4f7e-A"]])
        const [only, ...more] = yield* showing(client, version)
        const keyHash = `sha256//${createHash("sha256").update(client.spki).digest("base64")}`
        expect(more).toEqual([])
        expect(only?.caller.certificate).toMatchObject({ value: { keyHash, uid: Option.some("4f7e-A") } })
        expect(only?.encrypted).toBe(true)
      })
  )

  it.live("has none where it shows none", () =>
    Effect.gen(function* () {
      const seen = yield* showing({})
      expect(seen.map(({ caller, encrypted }) => [caller.certificate, encrypted])).toEqual([
        [Option.none(), true]
      ])
    })
  )

  it.live("has an id by its UID alone", () =>
    Effect.gen(function* () {
      expect(yield* uidShown(certificateNamed("source", [["CN", "A"]]))).toEqual([undefined])
      expect(yield* uidShown(certificateNamed("source", [["CN", "UID=B"]], [["UID", "A"]]))).toEqual(["A"])
      expect(yield* uidShown(certificateNamed("source", [["CN", "x\nUID=B"]]))).toEqual([undefined])
      expect(yield* uidShown(certificateNamed("source", [["CN", "x + UID=B"]]))).toEqual([undefined])
      expect(
        yield* uidShown(
          certificateNamed("source", [
            ["CN", "x"],
            ["UID", "A"]
          ])
        )
      ).toEqual(["A"])
    })
  )

  it.scopedLive("has its certificate read once a connection", () =>
    Effect.gen(function* () {
      const client = certificateNamed("source", [["UID", "A"]])
      const reads: Array<string> = []
      const counted = new WeakSet<object>()
      const { port, seen } = yield* serving(tlsServer(), ({ socket }) => {
        if (counted.has(socket)) return
        counted.add(socket)
        const tls = socket as TLSSocket // an https server's sockets are
        const read = tls.getPeerX509Certificate.bind(tls)
        tls.getPeerX509Certificate = () => {
          reads.push(socket.remoteAddress ?? "")
          return read()
        }
      })
      const agent = new https.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false, ...client })
      yield* Effect.addFinalizer(() => Effect.sync(() => agent.destroy()))
      for (let count = 0; count < 3; count++)
        yield* answered(https.request({ port, host: "127.0.0.1", agent }))
      expect(seen.length).toBe(3)
      expect(seen.map(({ caller }) => Option.isSome(caller.certificate))).toEqual([true, true, true])
      expect(reads).toEqual(["127.0.0.1"])
    })
  )
})

it("the caller of a request that no node server received has no address, unless the request has", () => {
  const request = HttpServerRequest.fromWeb(
    new Request("http://relay/", { headers: { "x-forwarded-for": "::1" } })
  )
  const nobody = { peer: "", forwardedFor: "::1", certificate: Option.none() }
  expect(look(request)).toEqual({ caller: nobody, again: nobody, encrypted: false, local: undefined })
  const known = request.modify({ remoteAddress: "192.0.2.1" })
  expect(callerOf(known).peer).toBe("192.0.2.1")
})
