import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Option, Runtime, TestClock } from "effect"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import { NodeId } from "../../src/NodeId.ts"
import { NodesList } from "../../src/topology/NodesList.ts"
import * as WatchedNodesList from "../../src/topology/WatchedNodesList.ts"
import { eventually } from "../support/Until.ts"

const entry = (server: string) => ({ hostname: "host", "policy-server": server })

/** A list in a folder of its own: the test says what is in it at first, and replaces it. */
const withList = <A, E>(
  first: unknown,
  test: (
    replace: (list: unknown) => Effect.Effect<void>,
    remove: Effect.Effect<void>
  ) => Effect.Effect<A, E, NodesList>
) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "rudder-relay-nodes-" })
    const file = `${directory}/nodeslist.json`
    const replace = (list: unknown) =>
      fs
        .writeFileString(`${file}.new`, typeof list === "string" ? list : JSON.stringify(list))
        .pipe(Effect.andThen(fs.rename(`${file}.new`, file)), Effect.orDie)
    if (first !== undefined) yield* replace(first)
    const settings = makeSettings({ general: { nodeId: NodeId.make("me"), nodesListFile: file } })
    return yield* test(replace, Effect.orDie(fs.remove(file))).pipe(
      Effect.provide(WatchedNodesList.layer.pipe(Layer.provide(Layer.succeed(RelayConfig, settings))))
    )
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

const size = Effect.flatMap(NodesList, (list) => Effect.map(list.current, (nodes) => nodes.size))
const details = Effect.flatMap(NodesList, (list) =>
  Effect.map(list.status, (status) => (status._tag === "Error" ? status.details : "well"))
)

/** At most 2 s of the program's time pass until a condition holds. Files are read in real time, however long it takes. */
const within2s = (condition: Effect.Effect<boolean, never, NodesList>) =>
  Effect.gen(function* () {
    const holds = yield* Effect.runtime<NodesList>().pipe(
      Effect.map((runtime) => () => Runtime.runSync(runtime)(condition))
    )
    for (let passed = 0; passed < 3; passed++) {
      yield* TestClock.adjust("500 millis")
      yield* Effect.yieldNow()
      if (holds()) return
    }
    yield* TestClock.adjust("500 millis")
    yield* eventually(holds, "what was written is in force")
  })

describe("the nodes list in force", () => {
  it.effect("knows nodes, routes and counts", () =>
    withList({ relay: entry("me"), a: entry("me"), b: entry("relay"), lost: entry("nobody") }, () =>
      Effect.gen(function* () {
        const nodes = yield* Effect.flatMap(NodesList, (list) => list.current)
        expect({ size: nodes.size, mine: nodes.mine, ids: [...nodes.ids()] }).toEqual({
          size: 4,
          mine: 2,
          ids: ["relay", "a", "b", "lost"]
        })
        expect(nodes.route("a")).toEqual({ _tag: "Mine" })
        expect(nodes.route("b")).toEqual({ _tag: "Behind", relays: ["relay"] })
        expect(nodes.route("lost")).toEqual({ _tag: "Unknown" })
        expect(nodes.route("__proto__")).toEqual({ _tag: "Unknown" })
        expect(Option.map(nodes.get("b"), ({ policyServer }) => policyServer)).toEqual(Option.some("relay"))
      })
    )
  )

  it.effect("is the new one within 2 s of a replacement", () =>
    withList({ a: entry("me") }, (replace) =>
      Effect.gen(function* () {
        expect(yield* size).toBe(1)
        yield* replace({ a: entry("me"), b: entry("me") })
        yield* within2s(Effect.map(size, (now) => now === 2))
      })
    )
  )

  it.effect("stays when the new one does not parse or is gone, and says so until there is a good one", () =>
    withList({ a: entry("me") }, (replace, remove) =>
      Effect.gen(function* () {
        yield* replace('{"a": {')
        yield* within2s(Effect.map(details, (text) => text.endsWith("the previous list stays in force")))
        expect(yield* size).toBe(1)
        yield* remove
        yield* within2s(
          Effect.map(details, (text) => text.includes("NotFound") || text.includes("no such file"))
        )
        expect(yield* size).toBe(1)
        yield* replace({ a: entry("me"), b: entry("me"), c: entry("me") })
        yield* within2s(Effect.map(details, (text) => text === "well"))
        expect(yield* size).toBe(3)
      })
    )
  )

  it.effect("is empty without a file, known to be never loaded, and picked up when it comes", () =>
    withList(undefined, (replace) =>
      Effect.gen(function* () {
        const list = yield* NodesList
        expect(yield* size).toBe(0)
        expect(yield* list.neverLoaded).toBe(true)
        yield* replace({ a: entry("me") })
        yield* within2s(Effect.map(list.neverLoaded, (never) => !never))
        expect(yield* size).toBe(1)
      })
    )
  )

  it.effect("is loaded at once when asked", () =>
    withList({ a: entry("me") }, (replace) =>
      Effect.gen(function* () {
        const list = yield* NodesList
        yield* replace({})
        expect((yield* list.reload)._tag).toBe("Success")
        expect(yield* size).toBe(0)
        yield* replace("no")
        expect((yield* list.reload)._tag).toBe("Error")
      })
    )
  )
})
