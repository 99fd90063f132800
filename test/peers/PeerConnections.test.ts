import type { X509Certificate } from "node:crypto"
import { writeFileSync } from "node:fs"
import * as Http from "node:http"
import * as Https from "node:https"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Option, TestClock } from "effect"
import { type GivenSettings, makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import { ask, hear } from "../../src/peers/Exchange.ts"
import { PeerClient, type PeerPool, type PinnedKeys } from "../../src/peers/PeerClient.ts"
import * as PeerConnections from "../../src/peers/PeerConnections.ts"
import { unreachable } from "../../src/peers/PeerUnreachable.ts"
import { certificateOf } from "../../src/testing/SelfSigned.ts"
import { certificateNamed, secretNamed } from "../support/Keys.ts"
import { rawServer } from "../support/RawServer.ts"
import { eventually } from "../support/Until.ts"

/** As node agents have them. */
const agentKey = secretNamed("source", 4096)
const agent = certificateOf(agentKey, [[["UID", "e745a140-40bc-4b86-b6dc-084488fc906b"]]])
const expired = certificateOf(agentKey, [[["CN", "another name"]]], "20200102000000Z")
const other = certificateNamed("other", [["UID", "somebody-else"]])

const keysOf = (...certificates: ReadonlyArray<{ readonly x509: X509Certificate }>): PinnedKeys =>
  Effect.succeed(certificates.map(({ x509 }) => x509.publicKey))

/** What a server saw. */
class Seen {
  connections = 0
  bytes = 0
  requests: Array<{ readonly url: string; readonly key: string | undefined }> = []
}

const listening = <S extends Net.Server>(server: S) =>
  Effect.acquireRelease(
    Effect.async<S>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    () => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
  )

const portOf = (server: Net.Server): number => {
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

/** A server that says hello, with this certificate; without one over plain HTTP. */
const serving = (certificate: { readonly cert: string; readonly key: string } | undefined) =>
  Effect.gen(function* () {
    const seen = new Seen()
    const hello = (request: Http.IncomingMessage, response: Http.ServerResponse) => {
      const { socket } = request
      const key = socket instanceof Tls.TLSSocket ? socket.getPeerX509Certificate()?.publicKey : undefined
      seen.requests.push({
        url: request.url ?? "",
        key: key?.export({ type: "spki", format: "der" }).toString("base64")
      })
      response.end("hello")
    }
    const server = yield* listening(
      certificate === undefined
        ? Http.createServer(hello)
        : Https.createServer({ ...certificate, requestCert: true, rejectUnauthorized: false }, hello)
    )
    yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
    server.on(certificate === undefined ? "connection" : "secureConnection", (socket: Net.Socket) => {
      seen.connections++
      socket.on("data", (bytes: Buffer) => {
        seen.bytes += bytes.length
      })
    })
    return { seen, url: new URL(`http${certificate === undefined ? "" : "s"}://127.0.0.1:${portOf(server)}`) }
  })

const withClient = <A, E, R>(given: GivenSettings, test: Effect.Effect<A, E, R>) =>
  Effect.provide(
    test,
    PeerConnections.layer.pipe(
      Layer.provide(Layer.succeed(RelayConfig, makeSettings(given))),
      Layer.provide(NodeContext.layer)
    )
  )

const all = { maxLength: 1000, within: Duration.seconds(20) }

const get = (via: Net.Socket | Http.Agent, url: URL) =>
  Effect.gen(function* () {
    const response = yield* ask(via, {
      method: "POST",
      url: new URL("/a?b=c", url),
      headers: {},
      send: (request) => request.end()
    })
    return `${response.statusCode} ${(yield* hear(response, all)).text}`
  }).pipe(Effect.scoped)

const call = (url: URL, keys: PinnedKeys) =>
  Effect.gen(function* () {
    const client = yield* PeerClient
    return yield* get(yield* client.connect({ url, keys }), url)
  }).pipe(Effect.scoped)

const pinning: GivenSettings = { general: { peerAuthentication: "cert_pinning" } }

describe("with cert_pinning a peer is known by its key", () => {
  it.scopedLive("of an agent's certificate, whatever its name", () =>
    Effect.gen(function* () {
      const { seen, url } = yield* serving(agent)
      expect(yield* withClient(pinning, call(url, keysOf(other, agent)))).toBe("200 hello")
      expect(seen.requests).toEqual([{ url: "/a?b=c", key: undefined }])
    })
  )

  it.scopedLive("also when what it shows is another certificate of that key, and expired", () =>
    Effect.gen(function* () {
      const { url } = yield* serving(expired)
      expect(yield* withClient(pinning, call(url, keysOf(agent)))).toBe("200 hello")
    })
  )

  it.scopedLive("and one with another key is sent nothing", () =>
    Effect.gen(function* () {
      const { seen, url } = yield* serving(other)
      const error = yield* withClient(pinning, Effect.flip(call(url, keysOf(agent))))
      expect(error).toMatchObject({ _tag: "PeerUnreachable", reason: "certificate" })
      expect(seen).toMatchObject({ bytes: 0, requests: [] })
    })
  )

  it.scopedLive("and is not even connected to where no key is known", () =>
    Effect.gen(function* () {
      const { seen, url } = yield* serving(agent)
      const error = yield* withClient(
        pinning,
        Effect.flip(call(url, unreachable("certificate", "no certificate of it")))
      )
      expect(error).toMatchObject({ reason: "certificate", message: "no certificate of it" })
      expect(seen.connections).toBe(0)
    })
  )

  it.scopedLive("which may change from one connection to the next", () =>
    Effect.gen(function* () {
      const { url } = yield* serving(agent)
      let known = agent
      const keys = Effect.suspend(() => keysOf(known))
      yield* withClient(
        pinning,
        Effect.gen(function* () {
          expect(yield* call(url, keys)).toBe("200 hello")
          known = other
          expect(yield* Effect.flip(call(url, keys))).toMatchObject({ reason: "certificate" })
        })
      )
    })
  )
})

describe("with cert_validation", () => {
  const validating = (ca: string): GivenSettings => ({
    general: { peerAuthentication: "cert_validation", caPath: Option.some(ca) }
  })
  const named = certificateNamed("relay", [["CN", "localhost"]])

  it.scopedLive("the CA and the name count, and pinned keys don't", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const ca = `${yield* fs.makeTempDirectoryScoped({ prefix: "rudder-relay-ca-" })}/ca.pem`
      writeFileSync(ca, named.cert)
      const right = yield* serving(named)
      const localhost = new URL(`https://localhost:${right.url.port}`)
      expect(yield* withClient(validating(ca), call(localhost, keysOf(other)))).toBe("200 hello")
      expect(yield* withClient(validating(ca), Effect.flip(call(right.url, keysOf(named))))).toMatchObject({
        reason: "certificate"
      })
      const wrong = yield* serving(other)
      expect(yield* withClient(validating(ca), Effect.flip(call(wrong.url, keysOf(other))))).toMatchObject({
        reason: "certificate"
      })
      expect(wrong.seen.bytes).toBe(0)
      // Not the authorities of the system then.
      writeFileSync(ca, "")
      expect(yield* withClient(validating(ca), Effect.flip(call(localhost, keysOf(other))))).toMatchObject({
        reason: "certificate",
        message: expect.stringContaining(`${ca}: it is empty`)
      })
    }).pipe(Effect.provide(NodeContext.layer))
  )
})

describe("a client", () => {
  it.scopedLive("with dangerous_none takes anybody", () =>
    Effect.gen(function* () {
      const { url } = yield* serving(other)
      const given: GivenSettings = { general: { peerAuthentication: "dangerous_none" } }
      expect(yield* withClient(given, call(url, unreachable("certificate", "none")))).toBe("200 hello")
    })
  )

  it.scopedLive("speaks plain HTTP where the URL says so", () =>
    Effect.gen(function* () {
      const { url } = yield* serving(undefined)
      expect(yield* withClient(pinning, call(url, unreachable("certificate", "none")))).toBe("200 hello")
    })
  )

  it.scopedLive("shows the certificate of this relay, as it is on the disk now", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped({ prefix: "rudder-relay-identity-" })
      const files = { certificate: `${directory}/cert.pem`, key: `${directory}/key.pem` }
      const { seen, url } = yield* serving(agent)
      const given: GivenSettings = { ...pinning, tls: { identity: Option.some(files) } }
      yield* withClient(
        given,
        Effect.gen(function* () {
          for (const mine of [other, expired]) {
            writeFileSync(files.certificate, mine.cert)
            writeFileSync(files.key, mine.key)
            expect(yield* call(url, keysOf(agent))).toBe("200 hello")
          }
        })
      )
      expect(seen.requests.map(({ key }) => key)).toEqual(
        [other, expired].map(({ spki }) => spki.toString("base64"))
      )
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("says who refused", () =>
    Effect.gen(function* () {
      const server = yield* Effect.scoped(listening(Net.createServer()).pipe(Effect.map(portOf)))
      const url = new URL(`https://127.0.0.1:${server}`)
      const error = yield* withClient(pinning, Effect.flip(call(url, keysOf(agent))))
      expect(error).toMatchObject({ reason: "connection" })
      expect(error.message).toContain(`127.0.0.1:${server}`)
      expect(error.message).toContain("ECONNREFUSED")
    })
  )

  it.scoped("gives a peer 10 s for the handshake", () =>
    Effect.gen(function* () {
      const sockets: Array<Net.Socket> = []
      const server = yield* listening(
        Net.createServer((socket) => sockets.push(socket.on("error", () => {})))
      )
      yield* Effect.addFinalizer(() => Effect.sync(() => sockets.map((socket) => socket.destroy())))
      const url = new URL(`https://127.0.0.1:${portOf(server)}`)
      const calling = yield* Effect.fork(withClient(pinning, Effect.flip(call(url, keysOf(agent)))))
      yield* eventually(() => sockets.length > 0)
      yield* TestClock.adjust("9999 millis")
      expect(Option.isNone(yield* Fiber.poll(calling))).toBe(true)
      yield* TestClock.adjust("1 millis")
      expect(yield* Fiber.join(calling)).toMatchObject({
        reason: "connection",
        message: expect.stringContaining("no connection in 10s")
      })
    })
  )
})

describe("a pool", () => {
  const pooled = <A, E>(
    idle: Duration.DurationInput,
    url: URL,
    keys: PinnedKeys,
    test: (pool: PeerPool) => Effect.Effect<A, E>
  ) =>
    withClient(
      { general: { peerAuthentication: "cert_pinning", httpsIdleTimeout: Duration.decode(idle) } },
      Effect.gen(function* () {
        const client = yield* PeerClient
        return yield* test(yield* client.pool({ url, keys }))
      }).pipe(Effect.scoped)
    )

  it.scopedLive("uses a connection again, until it is told to forget it", () =>
    Effect.gen(function* () {
      const { seen, url } = yield* serving(agent)
      yield* pooled("1 minutes", url, keysOf(agent), (pool) =>
        Effect.gen(function* () {
          for (let i = 0; i < 3; i++) expect(yield* get(pool.agent, url)).toBe("200 hello")
          expect(seen.connections).toBe(1)
          yield* pool.forget
          expect(yield* get(pool.agent, url)).toBe("200 hello")
          expect(seen.connections).toBe(2)
        })
      )
    })
  )

  it.scopedLive("does not use a connection again that was in use when it was told to forget", () =>
    Effect.gen(function* () {
      const { seen, url } = yield* serving(agent)
      yield* pooled("1 minutes", url, keysOf(agent), (pool) =>
        Effect.gen(function* () {
          const first = yield* ask(pool.agent, { method: "POST", url, headers: {}, send: (r) => r.end() })
          yield* pool.forget
          expect(yield* hear(first, all)).toEqual({ text: "hello", whole: true })
          expect(yield* get(pool.agent, url)).toBe("200 hello")
          expect(seen.connections).toBe(2)
        }).pipe(Effect.scoped)
      )
    })
  )

  it.scopedLive(
    "closes one that nobody uses when the peer says something there, and not while somebody does",
    () =>
      Effect.gen(function* () {
        const peers: Array<Net.Socket> = []
        const { connections, port } = yield* rawServer((socket, count) => {
          peers.push(socket)
          socket.on("data", () => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${count}`))
        })
        const url = new URL(`http://127.0.0.1:${port}`)
        yield* pooled("1 minutes", url, Effect.succeed([]), (pool) =>
          Effect.gen(function* () {
            const isFree = (count: number) => Object.values(pool.agent.freeSockets).flat().length === count
            for (let asked = 0; asked < 3; asked++) {
              expect(yield* get(pool.agent, url)).toBe("200 1")
              yield* eventually(() => isFree(1))
            }
            peers[0]?.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            yield* eventually(() => isFree(0))
            expect(yield* get(pool.agent, url)).toBe("200 2")
            expect(connections()).toBe(2)
          })
        )
      })
  )

  it.scopedLive("closes one that was idle for https_idle_timeout", () =>
    Effect.gen(function* () {
      const { seen, url } = yield* serving(agent)
      yield* pooled("20 millis", url, keysOf(agent), (pool) =>
        Effect.gen(function* () {
          expect(yield* get(pool.agent, url)).toBe("200 hello")
          yield* eventually(() => Object.keys(pool.agent.freeSockets).length === 0)
          expect(yield* get(pool.agent, url)).toBe("200 hello")
          expect(seen.connections).toBe(2)
        })
      )
    })
  )

  it.scopedLive("fails each request on a connection that can't be trusted", () =>
    Effect.gen(function* () {
      const { seen, url } = yield* serving(other)
      yield* pooled("1 minutes", url, keysOf(agent), (pool) =>
        Effect.gen(function* () {
          for (let i = 0; i < 2; i++)
            expect(yield* Effect.flip(get(pool.agent, url))).toMatchObject({ reason: "certificate" })
        })
      )
      expect(seen.bytes).toBe(0)
    })
  )
})
