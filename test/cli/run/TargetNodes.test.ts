/** Which nodes targets mean, as a relay with many knows them; and what else a client is asked about runs. */
import { FetchHttpClient, HttpServer } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Layer, type Scope, Stream } from "effect"
import * as Target from "../../../src/cli/run/Target.ts"
import * as TargetNodes from "../../../src/cli/run/TargetNodes.ts"
import { RelayClient } from "../../../src/client/RelayClient.ts"
import { nodesListLayer } from "../../../src/testing/Topology.ts"
import { temporaryFolder } from "../../support/Folders.ts"
import { servedRelay } from "../../support/ServedRelay.ts"

/** More than a page has. */
const count = 1100

const tree = {
  ...Object.fromEntries(
    Array.from({ length: count }, (_, at) => [`id-${at}`, { hostname: `web${at}.example.com` }])
  ),
  edge: { hostname: "edge.example.com" },
  shop: { hostname: "shop.example.com", relays: ["edge"] },
  far: { hostname: "far.example.com", relays: ["edge", "shop"] }
}

const client = HttpServer.HttpServer.pipe(
  Effect.map(({ address }) => (address._tag === "TcpAddress" ? address.port : 0)),
  Effect.map((port) => RelayClient.layer({ url: `http://127.0.0.1:${port}` })),
  Layer.unwrapEffect,
  Layer.provide(FetchHttpClient.layer)
)

const withRelay = <A, E>(
  effect: Effect.Effect<A, E, RelayClient | Scope.Scope>,
  nodes: Parameters<typeof nodesListLayer>[0] = tree
) =>
  Effect.flatMap(temporaryFolder, (directory) => {
    const relay = servedRelay(directory, nodesListLayer(nodes), {}, ({ hostname }) => ({
      writes: [{ bytes: `I am ${hostname}\n` }],
      exit: hostname.startsWith("web7") ? 1 : 0
    }))
    return Effect.provide(effect, Layer.provide(client, relay))
  })

const parsed = (texts: ReadonlyArray<string>) => texts.map((text) => Either.getOrThrow(Target.parse(text)))

const resolved = (targets: ReadonlyArray<string>, excluded: ReadonlyArray<string> = []) =>
  Effect.flatMap(RelayClient, (relay) => TargetNodes.resolve(relay, parsed(targets), parsed(excluded)))

const nodesOf = (targets: ReadonlyArray<string>, excluded?: ReadonlyArray<string>) =>
  Effect.map(resolved(targets, excluded), ({ nodes }) => nodes)

describe("targets", () => {
  it.scopedLive("mean nodes by id, host name and glob, few of them or many, on any page", () =>
    withRelay(
      Effect.gen(function* () {
        expect(yield* nodesOf(["id-3", "WEB4.example.com", "id-3"])).toEqual(["id-3", "id-4"])
        const few = yield* resolved(["web1099.example.com", "sh*"])
        expect(few).toEqual({
          nodes: ["id-1099", "shop"],
          hostnames: new Map([
            ["id-1099", "web1099.example.com"],
            ["shop", "shop.example.com"]
          ])
        })
        const names = Array.from({ length: 20 }, (_, at) => `web${1080 + at}.example.com`)
        expect(yield* nodesOf(names)).toEqual(Array.from({ length: 20 }, (_, at) => `id-${1080 + at}`))
        expect(yield* nodesOf(["web*"])).toHaveLength(count)
        expect(yield* nodesOf(["ID-109?"], ["web1090.*"])).toEqual(
          Array.from({ length: 9 }, (_, at) => `id-${1091 + at}`)
        )
      })
    )
  )

  it.scopedLive("mean all, or what stands behind a relay", () =>
    withRelay(
      Effect.gen(function* () {
        expect(yield* nodesOf(["@all"])).toBe("all")
        expect(yield* nodesOf(["@all"], ["id-*"])).toEqual(["edge", "far", "shop"])
        expect(yield* nodesOf(["@relay:edge"])).toEqual(["far", "shop"])
        expect(yield* nodesOf(["@relay:edge"], ["@relay:shop"])).toEqual(["shop"])
      })
    )
  )

  it.scopedLive("that mean no node, and those that leave none, are an error with their names", () =>
    withRelay(
      Effect.gen(function* () {
        for (const [targets, excluded, message] of [
          [["id-1", "nobody"], [], "no node is meant by nobody"],
          [["id-1"], ["nobody"], "no node is meant by nobody"],
          [["@relay:id-1"], [], "no node is meant by @relay:id-1"],
          [["id-1"], ["web1.*"], "no node is left"],
          [["no[1-12]"], [], "no1, no2, no3, no4, no5, no6, no7, no8, no9, no10 and 2 more"]
        ] as const)
          expect(yield* Effect.flip(resolved(targets, excluded))).toMatchObject({
            code: 2,
            message: expect.stringContaining(message)
          })
      })
    )
  )

  it.scopedLive("mean no node of a relay that has none", () =>
    withRelay(
      Effect.gen(function* () {
        expect(yield* Effect.flip(resolved(["@all"]))).toMatchObject({ code: 2 })
      }),
      {}
    )
  )

  it.scopedLive(
    "mean the nodes of a run, or those that failed; and a client previews, reads and cancels",
    () =>
      withRelay(
        Effect.gen(function* () {
          const relay = yield* RelayClient
          const { id } = yield* relay.start({ nodes: ["id-6", "id-7", "id-8"] })
          yield* Stream.runDrain(relay.follow(id))
          expect(yield* nodesOf([`@run:${id}`])).toEqual(["id-6", "id-7", "id-8"])
          expect(yield* nodesOf([`@run:${id}:failed`])).toEqual(["id-7"])
          expect(yield* nodesOf([`@run:${id.slice(0, 9)}:failed`])).toEqual(["id-7"])
          expect(yield* Effect.flip(resolved(["@run:0190"]))).toMatchObject({
            code: 4,
            message: expect.stringContaining("no run's id begins with 0190")
          })
          expect(yield* nodesOf([`@run:${id}`], [`@run:${id}:failed`])).toEqual(["id-6", "id-8"])
          const preview = yield* relay.preview({ nodes: ["id-6", "far", "nobody"], canary: 1 })
          expect(preview).toEqual({
            nodes: [
              { node: "id-6", hostname: "web6.example.com", via: [], batch: 1 },
              { node: "far", hostname: "far.example.com", via: ["edge", "shop"], batch: 2 }
            ],
            unknown: ["nobody"]
          })
          const output = yield* Stream.runCollect(
            Stream.decodeText(relay.nodeOutput({ run: id, node: "id-8" }))
          )
          expect(Array.from(output).join("")).toBe("I am web8.example.com\n")
          expect(yield* relay.cancel(id)).toBe(false)
          const gone = "01900000-0000-7000-8000-000000000000"
          expect(yield* Effect.flip(relay.cancel(gone))).toMatchObject({ _tag: "RunNotFound" })
          expect(yield* Effect.flip(resolved([`@run:${gone}`]))).toMatchObject({ _tag: "RunNotFound" })
        })
      )
  )
})
