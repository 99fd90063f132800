/** The client and a relay, over real connections. */
import { writeFileSync } from "node:fs"
import { FetchHttpClient, HttpServer } from "@effect/platform"
import { NodeContext, NodeHttpClient } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Layer, Redacted, type Scope, Stream } from "effect"
import * as ClientConnection from "../../src/client/ClientConnection.ts"
import { RelayClient } from "../../src/client/RelayClient.ts"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { cuttingProxy } from "../support/CuttingProxy.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { keyNamed, secretNamed } from "../support/Keys.ts"
import { servedRelay } from "../support/ServedRelay.ts"

const key = keyNamed("source")
const pem = key.secret.export({ type: "pkcs8", format: "pem" }).toString()
const otherPem = secretNamed("other").export({ type: "pkcs1", format: "pem" }).toString()

const nodes = nodesListLayer({
  web: { hostname: "web.example.com", keyHash: key.keyHash },
  db: { hostname: "db.example.com" }
})

/** Agents that print this many lines. */
const printing = (lines: number) => () => ({
  writes: Array.from({ length: lines }, (_, at) => ({ bytes: `line ${at}\n` })),
  exit: 0
})

const port = Effect.map(HttpServer.HttpServer, ({ address }) =>
  address._tag === "TcpAddress" ? address.port : 0
)

const served = (directory: string) =>
  servedRelay(directory, nodes, { sharedFiles: { minFree: 0, maxBodySize: 5_000_000 } }, printing(50))

const clientOf = (at: number) =>
  RelayClient.layer({ url: `http://127.0.0.1:${at}` }).pipe(Layer.provide(FetchHttpClient.layer))

/** With a relay of its own, and its client. */
const withRelay = <A, E>(effect: Effect.Effect<A, E, RelayClient | HttpServer.HttpServer | Scope.Scope>) =>
  Effect.gen(function* () {
    const directory = yield* temporaryFolder
    const both = Layer.unwrapEffect(Effect.map(port, clientOf)).pipe(Layer.provideMerge(served(directory)))
    return yield* Effect.provide(effect, both)
  })

const collect = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

describe("a run", () => {
  it.scopedLive("is seen as events, by who started it, by who follows it, and among the routes", () =>
    withRelay(
      Effect.gen(function* () {
        const client = yield* RelayClient
        const events = yield* collect(client.run({ nodes: ["web", "db", "nobody"], classes: ["update"] }))
        const [first] = events
        expect(first).toMatchObject({ event: "run", nodes: ["web", "db"], unknown: ["nobody"] })
        expect(events.at(-1)).toMatchObject({ event: "done", ok: 2, failed: 0 })
        expect(events.filter(({ event }) => event === "output")).toHaveLength(100)
        const id = first?.event === "run" ? first.id : ""
        expect(yield* collect(client.follow(id))).toEqual(events)
        const detail = yield* client.routes.remoteRun.run({ path: { id } })
        expect(detail.states.map(({ state, code }) => [state, code])).toEqual([
          ["ended", 0],
          ["ended", 0]
        ])
        const gone = client.follow("01900000-0000-7000-8000-000000000000")
        expect(yield* Effect.flip(collect(gone))).toMatchObject({ _tag: "RunNotFound" })
      })
    )
  )

  it.scopedLive("that is started alone goes on, and shows its events without output", () =>
    withRelay(
      Effect.gen(function* () {
        const client = yield* RelayClient
        const { id } = yield* client.start({ nodes: "all", output: "discard" })
        const events = yield* collect(client.follow(id))
        const kinds = events.map(({ event }) => event)
        expect(kinds.toSorted()).toEqual(["done", "end", "end", "run", "start", "start"])
      })
    )
  )

  it.scopedLive("comes whole through a proxy that cuts", () =>
    withRelay(
      Effect.gen(function* () {
        const { port: cutting, cuts } = yield* cuttingProxy(yield* port, (connection) => connection * 900)
        const events = yield* Effect.flatMap(RelayClient, (client) =>
          collect(client.run({ nodes: ["web", "db"] }))
        ).pipe(Effect.provide(clientOf(cutting)))
        expect(cuts()).toBeGreaterThan(1)
        const [first] = events
        const direct = yield* RelayClient
        expect(yield* collect(direct.follow(first?.event === "run" ? first.id : ""))).toEqual(events)
        const { runs } = yield* direct.routes.remoteRun.runs({ urlParams: {} })
        expect(runs).toHaveLength(1)
      })
    )
  )
})

const file = { source: "web", target: "db", fileId: "motd", key: pem }
const content = (text: string) => Stream.make(Buffer.from(text))

describe("a file", () => {
  it.scopedLive("is signed and sent, and not again when it is there", () =>
    withRelay(
      Effect.gen(function* () {
        const { share } = yield* RelayClient
        const sent = yield* share({ ...file, content: content("hello\n"), ttl: "1d 2h" })
        expect(sent).toMatchObject({ result: "stored", algorithm: "sha512", size: 6 })
        const again = yield* share({ ...file, key: Redacted.make(pem), content: content("hello\n") })
        expect(again).toMatchObject({ result: "present", size: 6 })
        const other = yield* share({ ...file, content: content(""), algorithm: "sha256", ttl: "1h" })
        expect(other).toMatchObject({ result: "stored", algorithm: "sha256", size: 0 })
      })
    )
  )

  it.scopedLive("is read from the disk", () =>
    withRelay(
      Effect.gen(function* () {
        const { shareFile } = yield* RelayClient
        const path = `${yield* temporaryFolder}/content`
        writeFileSync(path, Buffer.alloc(4_000_000, "content "))
        expect(yield* shareFile(path, file)).toMatchObject({ result: "stored", size: 4_000_000 })
        const error = yield* Effect.flip(shareFile(`${path}s`, file))
        expect(error).toMatchObject({ _tag: "SystemError", reason: "NotFound" })
      }).pipe(Effect.provide(NodeContext.layer))
    )
  )

  it.scopedLive("that is refused fails with what the relay says, however long it is", () =>
    withRelay(
      Effect.gen(function* () {
        const at = yield* port
        const many = Stream.range(1, 400).pipe(
          Stream.map(() => Buffer.alloc(65_536)),
          Stream.rechunk(1)
        )
        const refusals = Effect.gen(function* () {
          const { share } = yield* RelayClient
          const refused = (over: object) => Effect.flip(share({ ...file, content: content("x"), ...over }))
          expect(yield* refused({ key: otherPem })).toMatchObject({
            _tag: "BadSignature",
            reason: "key-mismatch"
          })
          expect(yield* refused({ target: "nobody" })).toMatchObject({ _tag: "UnknownTarget" })
          expect(yield* refused({ ttl: "soon" })).toMatchObject({ _tag: "InvalidRequest", parameter: "ttl" })
          expect(yield* refused({ content: many })).toMatchObject({ _tag: "PayloadTooLarge" })
        })
        yield* Effect.provide(refusals, clientOf(at))
        for (const http of [ClientConnection.layer(), NodeHttpClient.layerUndici])
          yield* Effect.provide(
            refusals,
            RelayClient.layer({ url: `http://127.0.0.1:${at}` }).pipe(Layer.provide(http))
          )
      })
    )
  )

  it.scopedLive("that can't be signed, or is not named well, or can't be read, is not sent", () =>
    withRelay(
      Effect.gen(function* () {
        const { share } = yield* RelayClient
        const refused = (over: object) => Effect.flip(share({ ...file, content: content("x"), ...over }))
        const small = secretNamed("source", 1024)
        for (const bad of ["", "no key", pem.replace("PRIVATE", "PUBLIC"), small, key.key])
          expect(yield* refused({ key: bad })).toMatchObject({ _tag: "UnusableKey" })
        for (const [parameter, text] of [
          ["source", "a/b"],
          ["target", ".."],
          ["fileId", "a.metadata"]
        ] as const)
          expect(yield* refused({ [parameter]: text })).toMatchObject({ _tag: "InvalidRequest", parameter })
        let runs = 0
        const breaking = Stream.suspend(() =>
          Stream.concat(content("one"), ++runs === 2 ? Stream.fail("the second time") : Stream.empty)
        )
        expect(yield* refused({ content: breaking })).toBe("the second time")
        expect(yield* refused({ content: Stream.fail("at once") })).toBe("at once")
      })
    )
  )
})

describe("a relay that is not there", () => {
  it.scopedLive("is said to be that", () =>
    Effect.gen(function* () {
      const { port: nowhere } = yield* cuttingProxy(1, () => undefined)
      const { run, share } = yield* Effect.provide(RelayClient, clientOf(nowhere))
      for (const error of [
        yield* Effect.flip(collect(run({ nodes: "all" }))),
        yield* Effect.flip(share({ ...file, content: content("x") }))
      ]) {
        expect(error).toMatchObject({ _tag: "RelayUnreachable" })
        expect(error).toHaveProperty("message", expect.stringContaining(`127.0.0.1:${nowhere}`))
      }
    })
  )
})
