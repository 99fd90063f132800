/** A run on its way when the relay stops. */
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import { NodeId } from "../../src/NodeId.ts"
import { AgentProcess } from "../../src/remote-run/agents/AgentProcess.ts"
import { RunHistory } from "../../src/remote-run/journal/RunHistory.ts"
import { RemoteRun } from "../../src/remote-run/RemoteRun.ts"
import { SubRelays } from "../../src/remote-run/sub-relays/SubRelays.ts"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { ownTree } from "../support/ControlledRelay.ts"
import { MemoryHistory } from "../support/MemoryHistory.ts"

/** A disk that is asked for a run's file, and takes its time. */
const slowHistory = Effect.gen(function* () {
  const asked = yield* Effect.makeLatch()
  const answer = yield* Effect.makeLatch()
  const layer = Layer.effect(
    RunHistory,
    Effect.map(RunHistory, (history) => ({
      ...history,
      begin: (...run: Parameters<typeof history.begin>) =>
        asked.open.pipe(Effect.andThen(answer.await), Effect.andThen(history.begin(...run)))
    }))
  ).pipe(Layer.provide(new MemoryHistory().layer))
  return { asked, answer, layer }
})

const relayWith = (history: Layer.Layer<RunHistory>, started: Array<string>) =>
  RemoteRun.layer.pipe(
    Layer.provide([
      history,
      Layer.succeed(RelayConfig, makeSettings({ general: { nodeId: NodeId.make("me") } })),
      nodesListLayer(ownTree("a", "b")),
      Layer.succeed(AgentProcess, {
        run: ({ hostname }) =>
          Effect.suspend(() => {
            started.push(hostname)
            return Effect.never
          }),
        unkillable: Effect.succeed(0)
      }),
      SubRelays.unreachable,
      NodeContext.layer
    ])
  )

describe("a run whose file is not there yet when the relay stops", () => {
  it.live.each(["drained", "closed"])("ends, and starts no agent, where the relay is %s", (how) =>
    Effect.gen(function* () {
      const { asked, answer, layer } = yield* slowHistory
      const started: Array<string> = []
      const scope = yield* Scope.make()
      const remoteRun = Context.get(yield* Layer.buildWithScope(relayWith(layer, started), scope), RemoteRun)
      const starting = yield* Effect.fork(
        remoteRun.start({ target: { _tag: "All" }, classes: [], output: "keep" })
      )
      yield* asked.await
      const stopping = yield* Effect.fork(how === "closed" ? Scope.close(scope, Exit.void) : remoteRun.drain)
      // What the stop does without waiting for the run, it has done.
      yield* Effect.yieldNow().pipe(Effect.repeatN(100))
      yield* answer.open
      const run = yield* Fiber.join(starting)
      yield* Fiber.join(stopping)
      const events = [...(yield* Stream.runCollect(run.events))]
      expect(events.map(({ event }) => event)).toEqual(["run", "end", "end", "done"])
      expect(yield* run.summary).toMatchObject({ running: 0, ok: 0, failed: 2 })
      expect(started).toEqual([])
      yield* Scope.close(scope, Exit.void)
    }).pipe(Effect.timeout("10 seconds"))
  )
})
