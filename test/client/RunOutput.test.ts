/** What a client gets of a run besides its events: its output as the relay prints it, and the rest of it, run again. */
import { FetchHttpClient, HttpServer } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, type Scope, Stream } from "effect"
import { RelayClient } from "../../src/client/RelayClient.ts"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { servedRelay } from "../support/ServedRelay.ts"

const nodes = nodesListLayer({ web: { hostname: "web.example.com" }, db: { hostname: "db.example.com" } })

const withRelay = <A, E>(test: Effect.Effect<A, E, RelayClient | Scope.Scope>) =>
  Effect.flatMap(temporaryFolder, (directory) => {
    const relay = servedRelay(directory, nodes, {}, ({ hostname }) => ({
      writes: [{ bytes: `hello from ${hostname}\n` }],
      exit: hostname.startsWith("db") ? 3 : 0
    }))
    const client = Layer.unwrapEffect(
      Effect.map(HttpServer.HttpServer, ({ address }) =>
        RelayClient.layer({ url: `http://127.0.0.1:${address._tag === "TcpAddress" ? address.port : 0}` })
      )
    ).pipe(Layer.provide(FetchHttpClient.layer), Layer.provide(relay))
    return Effect.provide(test, client)
  }).pipe(Effect.provide(NodeContext.layer))

const text = <E>(bytes: Stream.Stream<Uint8Array, E>) => Stream.mkString(Stream.decodeText(bytes))

describe("a run that is over", () => {
  it.scopedLive("has its output in each format, whole and in part", () =>
    withRelay(
      Effect.gen(function* () {
        const client = yield* RelayClient
        const [first] = yield* Stream.runCollect(client.run({ nodes: "all" }))
        const id = first?.event === "run" ? first.id : ""
        expect(yield* text(client.output(id))).toMatch(/web:hello from web\.example\.com\n/)
        expect(yield* text(client.output(id, { format: "raw", nodes: ["db"] }))).toBe(
          "hello from db.example.com\n"
        )
        const failed = yield* text(client.output(id, { format: "ndjson", state: "failed" }))
        expect(failed).toContain('"node":"db"')
        expect(failed).not.toContain('"event":"end","node":"web"')
        expect(yield* text(client.output(id, { from: 1 }))).not.toContain('"event":"run"')
        const gone = client.output("01900000-0000-7000-8000-000000000000")
        expect(yield* Effect.flip(text(gone))).toMatchObject({ _tag: "RunNotFound" })
      })
    )
  )

  it.scopedLive(
    "is run again where it is not ok, with its output unless another is said, or not at all",
    () =>
      withRelay(
        Effect.gen(function* () {
          const client = yield* RelayClient
          const { id } = yield* client.start({ nodes: "all", output: "discard" })
          yield* Stream.runDrain(client.follow(id))
          const nodes = { restOf: id }
          expect(yield* client.preview({ nodes })).toMatchObject({ nodes: [{ node: "db" }], unknown: [] })
          expect(yield* client.preview({ nodes: { ...nodes, only: ["skipped"] } })).toEqual({
            nodes: [],
            unknown: []
          })
          const none = client.run({ nodes: { ...nodes, only: ["skipped"] } })
          expect([...(yield* Stream.runCollect(none))]).toEqual([])
          const started = client.start({ nodes: { ...nodes, only: ["skipped"] } })
          expect(yield* Effect.flip(started)).toMatchObject({ _tag: "NothingLeft", run: id })
          const [first] = yield* Stream.runCollect(client.run({ nodes, classes: ["again"] }))
          expect(first).toMatchObject({ event: "run", nodes: ["db"], classes: ["again"] })
          const { runs } = yield* client.routes.remoteRun.runs({ urlParams: { limit: "1" } })
          expect(runs).toMatchObject([{ parent: id, output: "discard" }])
        })
      )
  )
})
