import { describe, expect, it } from "@effect/vitest"
import { Data, Effect, Layer, Ref } from "effect"
import { Reload, type Reloadable } from "../../src/system/Reload.ts"
import { nodesOf } from "../../src/testing/Topology.ts"
import { NodesList, type NodesListStatus } from "../../src/topology/NodesList.ts"

class Unusable extends Data.TaggedError("Unusable")<{ readonly message: string }> {}

const nodesList = (status: NodesListStatus) =>
  Layer.succeed(NodesList, {
    current: Effect.succeed(nodesOf({})),
    status: Effect.succeed(status),
    neverLoaded: Effect.succeed(false),
    reload: Effect.succeed(status)
  })

const reloading = (parts: ReadonlyArray<Reloadable>, status: NodesListStatus = { _tag: "Success" }) =>
  Effect.flatMap(Reload, ({ reload, problems, waiting }) =>
    Effect.all({ found: reload, problems, waiting })
  ).pipe(Effect.provide(Layer.provide(Reload.layer(parts), nodesList(status))))

describe("a reload", () => {
  it.effect("loads all, whatever of it fails, and tells each failure by the name of what did not load", () =>
    Effect.gen(function* () {
      const loaded = yield* Ref.make<ReadonlyArray<string>>([])
      const good = (name: string): Reloadable => ({
        name,
        reload: Ref.update(loaded, (all) => [...all, name])
      })
      const bad: Reloadable = { name: "certificate", reload: new Unusable({ message: "no pair" }) }
      const { found, problems } = yield* reloading([good("first"), bad, good("last")], {
        _tag: "Error",
        details: "no JSON"
      })
      expect(found).toEqual(["nodes list: no JSON", "certificate: no pair"])
      // The nodes list is loaded again by itself, and has a status of its own.
      expect(problems).toEqual(["certificate: no pair"])
      expect(yield* Ref.get(loaded)).toEqual(["first", "last"])
    })
  )

  it.effect("forgets what was wrong once it loads, and names the keys that wait for a restart", () =>
    Effect.gen(function* () {
      const isBroken = yield* Ref.make(true)
      const part: Reloadable = {
        name: "log level",
        reload: Effect.flatMap(Ref.get(isBroken), (broken) =>
          broken ? new Unusable({ message: "no such file" }) : Effect.void
        ),
        waiting: Effect.succeed(["general.listen"])
      }
      yield* Effect.gen(function* () {
        const { reload, problems, waiting } = yield* Reload
        yield* reload
        expect(yield* problems).toEqual(["log level: no such file"])
        yield* Ref.set(isBroken, false)
        expect(yield* reload).toEqual([])
        expect(yield* problems).toEqual([])
        expect(yield* waiting).toEqual(["general.listen"])
      }).pipe(Effect.provide(Layer.provide(Reload.layer([part]), nodesList({ _tag: "Success" }))))
    })
  )
})
