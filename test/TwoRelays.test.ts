/** Two relays in one program, each with nodes and agents of its own. */
import { HttpServer } from "@effect/platform"
import { NodeContext, NodeHttpServer } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer, Stream } from "effect"
import {
  makeSettings,
  NodeId,
  Relay,
  RelayClient,
  type RelayClientService,
  RelayConfig,
  Reload
} from "../src/index.ts"
import { alone, CrashingDisk, nodesListLayer, ScriptedAgents, TestRelay } from "../src/testing.ts"

/** A node that only this relay has, and agents that say whose they are. */
const own = (name: string) =>
  Layer.merge(
    nodesListLayer({ [`node-of-${name}`]: { hostname: name } }),
    ScriptedAgents.layer(() => ({ writes: [{ bytes: `an agent of ${name}\n` }] }))
  )

/** What is said when all nodes of a relay are run. */
const said = (client: RelayClientService) =>
  client.run({ nodes: "all" }).pipe(
    Stream.filter((event) => event.event === "output"),
    Stream.map(({ node, line }) => `${node}: ${line}`),
    Stream.runCollect,
    Effect.map((lines) => [...lines])
  )

class First extends Context.Tag("test/First")<First, RelayClientService>() {}
class Second extends Context.Tag("test/Second")<Second, RelayClientService>() {}

/** A program's own relay, as the documentation has it, over a disk in memory. */
const embedded = (name: string) =>
  Layer.unwrapEffect(Effect.map(Relay.httpApp, (app) => HttpServer.serve(app))).pipe(
    Layer.provide(Layer.mergeAll(Relay.services, Reload.layer([]))),
    Layer.provide(Relay.liveWith(Layer.mergeAll(own(name), CrashingDisk.make().layer, alone()))),
    Layer.provide(
      Layer.succeed(
        RelayConfig,
        makeSettings({
          general: { nodeId: NodeId.make("root") },
          remoteRun: { directory: `/tmp/${name}-that-is-not-made/runs`, enabled: false },
          sharedFiles: { path: `/${name}/shared-files`, outbox: `/${name}/outbox` }
        })
      )
    ),
    Layer.provide(NodeContext.layer),
    Layer.provide(NodeHttpServer.layerTest)
  )

describe("two relays in one program", () => {
  it.scopedLive("that are made for tests have nothing in common", () =>
    Effect.gen(function* () {
      expect(yield* Effect.flatMap(First, said)).toEqual(["node-of-one: an agent of one"])
      expect(yield* Effect.flatMap(Second, said)).toEqual(["node-of-two: an agent of two"])
    }).pipe(
      Effect.provide(
        Layer.merge(
          Layer.provide(Layer.effect(First, RelayClient), TestRelay.layer(own("one"))),
          Layer.provide(Layer.effect(Second, RelayClient), TestRelay.layer(own("two")))
        )
      )
    )
  )

  it.scopedLive("are not mixed up without a word: that ends the program", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Layer.build(Layer.merge(embedded("one"), embedded("two"))))
      expect(Exit.isFailure(exit) && Cause.pretty(exit.cause)).toContain("Layer.fresh")
      yield* Layer.build(Layer.merge(Layer.fresh(embedded("one")), Layer.fresh(embedded("two"))))
    })
  )
})
