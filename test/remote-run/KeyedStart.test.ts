import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Either, FastCheck, Option, type Scope, TestClock } from "effect"
import { DiskError } from "../../src/disk/Disk.ts"
import { NodeId } from "../../src/NodeId.ts"
import { StorageError } from "../../src/RelayError.ts"
import * as AgentPermits from "../../src/remote-run/agents/AgentPermits.ts"
import * as FolderKeys from "../../src/remote-run/journal/FolderKeys.ts"
import type { RunKeysService } from "../../src/remote-run/journal/RunKeys.ts"
import * as KeyedStart from "../../src/remote-run/KeyedStart.ts"
import { generator, type RunId } from "../../src/remote-run/RunId.ts"
import { orderDigest, RunKey } from "../../src/remote-run/RunKey.ts"
import { CrashingDisk } from "../../src/testing/CrashingDisk.ts"
import { logLines } from "../support/LogLines.ts"

const today = Date.parse("2026-01-05T12:00:00Z")
const root = "/relay/runs/keys"
const key = RunKey.make("a key")

/** What a relay does with runs, for as long as it lives, and what is to be remembered of all its lives. */
class World {
  readonly nextId = generator()
  /** For each agent that was started the run that it was of. */
  readonly started: Array<RunId> = []
  /** A life ended, or the disk failed, while the key was made binding: nobody knows whether it is. */
  isUnsure = false
}

/** One life of a relay. @param waits agents of new runs wait, and are not started in this life */
const life = (world: World, keys: RunKeysService, waits = false) => {
  const active = new Set<RunId>()
  return (order: string, of = key) =>
    KeyedStart.start(keys, {
      key: of,
      order: orderDigest({ order }),
      nextId: Effect.sync(() => world.nextId(today)),
      persist: () => Effect.void,
      isGoingOn: (id) => active.has(id),
      find: (id) => Effect.succeed(id),
      plan: Effect.succeed((id, beforeFirst) =>
        Effect.gen(function* () {
          active.add(id)
          if (waits) return id
          const bound = yield* Effect.either(beforeFirst)
          if (Either.isRight(bound)) world.started.push(id)
          else world.isUnsure = true
          return id
        })
      )
    })
}

const withKeys = <A, E>(
  use: (keys: FolderKeys.FolderKeys) => Effect.Effect<A, E, Scope.Scope>,
  disk = CrashingDisk.make(),
  most?: number
) =>
  Effect.scoped(
    Effect.gen(function* () {
      yield* TestClock.setTime(today)
      return yield* use(yield* FolderKeys.make(disk.disk, root, most))
    })
  )

describe("requests with one key", () => {
  it.effect("start one run, also at once, and are all answered with it", () =>
    withKeys(
      (keys) =>
        Effect.gen(function* () {
          const world = new World()
          const request = life(world, keys)
          const ids = yield* Effect.all(
            Array.from({ length: 20 }, () => request("same")),
            { concurrency: "unbounded" }
          )
          expect(new Set(ids).size).toBe(1)
          expect(world.started).toEqual([ids[0]])
          expect(yield* request("same", RunKey.make("another"))).not.toBe(ids[0])
        }),
      CrashingDisk.make(7)
    )
  )

  it.effect("are a conflict where their orders differ, and nothing is started", () =>
    withKeys((keys) =>
      Effect.gen(function* () {
        const world = new World()
        const request = life(world, keys)
        const id = yield* request("one")
        expect(yield* Effect.flip(request("other"))).toMatchObject({ _tag: "IdempotencyConflict", run: id })
        expect(world.started).toEqual([id])
      })
    )
  )

  it.effect("start one run in 24 h", () =>
    withKeys((keys) =>
      Effect.gen(function* () {
        const request = life(new World(), keys)
        const id = yield* request("one")
        yield* TestClock.adjust(Duration.millis(Duration.toMillis("24 hours") - 1))
        expect(yield* request("one")).toBe(id)
        yield* TestClock.adjust(1)
        expect(Option.isNone(yield* keys.find(key))).toBe(true)
        expect(yield* request("other")).not.toBe(id)
      })
    )
  )
})

describe("a key", () => {
  it.effect("is on the disk before its run is started, and binding before the first agent", () => {
    const disk = CrashingDisk.make()
    const persisted: Array<RunId> = []
    const afterPowerLoss = () => [...disk.ifStopped(1).files().keys()].map((path) => path.split(".").at(-1))
    return withKeys(
      (keys) =>
        Effect.gen(function* () {
          yield* KeyedStart.start(keys, {
            key,
            order: orderDigest({}),
            nextId: Effect.succeed(generator()(today)),
            // The run is there before its key points to it.
            persist: (id) =>
              Effect.sync(() => {
                expect(afterPowerLoss()).toEqual(["waiting"])
                persisted.push(id)
              }),
            isGoingOn: () => false,
            find: (id) => Effect.succeed(id),
            plan: Effect.succeed((id, beforeFirst) =>
              Effect.gen(function* () {
                expect(afterPowerLoss()).toEqual(["waiting"])
                yield* beforeFirst
                yield* beforeFirst
                expect(persisted).toEqual([id])
                expect(afterPowerLoss()).toEqual(["binding"])
                return id
              }).pipe(Effect.orDie)
            )
          })
        }),
      disk
    )
  })

  it.effect("is gone with its file once it is too old", () => {
    const disk = CrashingDisk.make()
    return withKeys(
      (keys) =>
        Effect.gen(function* () {
          yield* life(new World(), keys)("one")
          yield* TestClock.adjust("23 hours")
          yield* keys.prune
          expect(disk.files().size).toBe(1)
          yield* TestClock.adjust("1 hours")
          yield* keys.prune
          expect(disk.files().size).toBe(0)
        }),
      disk
    )
  })

  it.effect("that can't be removed is in the log once, with all others, until one can be", () => {
    const { lines, layer } = logLines()
    const { disk } = CrashingDisk.make()
    let isStuck = true
    const remove: typeof disk.remove = (path) =>
      Effect.suspend(() =>
        isStuck ? new DiskError({ code: "EIO", message: `EIO: ${path}` }) : disk.remove(path)
      )
    return Effect.gen(function* () {
      yield* TestClock.setTime(today)
      const keys = yield* FolderKeys.make({ ...disk, remove }, root)
      const request = life(new World(), keys)
      const expire = Effect.gen(function* () {
        for (const name of ["1", "2", "3"]) yield* request("one", RunKey.make(name))
        yield* TestClock.adjust("24 hours")
        yield* keys.prune
        return lines.filter((line) => line.startsWith("WARN an old key of a run can't be removed")).length
      })
      expect(yield* expire).toBe(1)
      isStuck = false
      expect(yield* expire).toBe(1)
      isStuck = true
      expect(yield* expire).toBe(2)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect(
    "is never forgotten for another: past the bound a new one is refused until the oldest is too old",
    () => {
      const disk = CrashingDisk.make()
      const world = new World()
      const named = (name: string) => RunKey.make(name)
      return Effect.gen(function* () {
        const first = yield* withKeys(
          (keys) =>
            Effect.gen(function* () {
              const request = life(world, keys)
              const first = yield* request("one", named("1"))
              yield* request("one", named("2"))
              yield* TestClock.adjust("1 hours")
              expect(yield* Effect.flip(request("one", named("3")))).toMatchObject({
                _tag: "TooBusy",
                retryAfterSeconds: 23 * 3600
              })
              expect(yield* request("one", named("1"))).toBe(first)
              return first
            }),
          disk,
          2
        )
        // Nor by a restart.
        yield* withKeys(
          (keys) =>
            Effect.gen(function* () {
              const request = life(world, keys)
              expect(yield* Effect.flip(request("one", named("3")))).toMatchObject({ _tag: "TooBusy" })
              expect(yield* request("one", named("1"))).toBe(first)
              yield* TestClock.adjust("24 hours")
              yield* request("one", named("3"))
            }),
          disk.takeOver(),
          2
        )
      })
    }
  )

  it.effect("starts nothing where it can't be written, or the folder can't be read", () => {
    const disk = CrashingDisk.make()
    const world = new World()
    return withKeys(
      (keys) =>
        Effect.gen(function* () {
          const request = life(world, keys)
          disk.failWhen(({ kind }) => (kind === "readdir" ? "EIO" : undefined))
          expect(yield* Effect.flip(request("one"))).toMatchObject({ _tag: "StorageError" })
          disk.failWhen(({ kind, paths }) =>
            kind === "open" && paths[0]?.includes(root) ? "ENOSPC" : undefined
          )
          expect(yield* Effect.flip(request("one"))).toMatchObject({ _tag: "StorageFull" })
          expect(world.started).toEqual([])
          disk.failWhen(() => undefined)
          yield* request("one")
          expect(world.started.length).toBe(1)
        }),
      disk
    )
  })
})

interface Life {
  readonly waits: boolean
  readonly requests: number
  /** How it ends: at which operation of the disk, and whether what was not synced is lost. */
  readonly stopAt: number
  readonly end: "killed" | "power"
  readonly fails: boolean
}

const lives: FastCheck.Arbitrary<ReadonlyArray<Life>> = FastCheck.array(
  FastCheck.record({
    waits: FastCheck.boolean(),
    requests: FastCheck.integer({ min: 1, max: 2 }),
    stopAt: FastCheck.integer({ min: 1, max: 25 }),
    end: FastCheck.constantFrom("killed" as const, "power" as const),
    fails: FastCheck.boolean()
  }),
  { maxLength: 4 }
)

describe("over any crashes of the disk and the relay", () => {
  it.effect.prop(
    "no second agent is started for a key, an answered run stays the same, and where none was started the run happens",
    { lives, seed: FastCheck.nat() },
    ({ lives, seed }) =>
      Effect.gen(function* () {
        const world = new World()
        const answered = new Set<RunId>()
        let disk = CrashingDisk.make()
        for (const { waits, requests, stopAt, end, fails } of lives) {
          if (fails) disk.failAt(stopAt, "EIO")
          else disk.stopAt(stopAt)
          yield* withKeys((keys) => {
            const request = life(world, keys, waits)
            return Effect.forEach(Array.from({ length: requests }), () =>
              Effect.either(request("one")).pipe(
                Effect.tap((answer) => Either.isRight(answer) && answered.add(answer.right))
              )
            )
          }, disk)
          disk = end === "killed" ? disk.takeOver() : disk.restart(seed)
        }
        const last = yield* withKeys((keys) => life(world, keys)("one"), disk)
        answered.add(last)
        expect(answered.size).toBe(1)
        if (world.isUnsure) expect(world.started.length).toBeLessThanOrEqual(1)
        else expect(world.started).toEqual([last])
      }),
    { fastCheck: { numRuns: 100 } }
  )
})

describe("the digest of an order", () => {
  it("is that of its values, in whatever order its fields were written", () => {
    expect(orderDigest({ a: 1, b: { c: [1, 2], d: Duration.seconds(1) } })).toBe(
      orderDigest({ b: { d: Duration.seconds(1), c: [1, 2] }, a: 1 })
    )
    expect(orderDigest({ a: [1, 2] })).not.toBe(orderDigest({ a: [2, 1] }))
    expect(orderDigest({ b: Duration.seconds(1) })).not.toBe(orderDigest({ b: Duration.seconds(2) }))
  })
})

describe("agents and sub-relays behind a key", () => {
  const agentsOf = (done: Array<string>, first: Effect.Effect<void, StorageError>) =>
    KeyedStart.behind(
      {
        agents: {
          run: () =>
            Effect.as(
              Effect.sync(() => done.push("agent")),
              { code: 0, signal: null }
            ),
          unkillable: Effect.succeed(0)
        },
        subRelays: { run: () => Effect.asVoid(Effect.sync(() => done.push("sub-relay"))) },
        permits: AgentPermits.make(1),
        timeout: Duration.minutes(1)
      },
      first
    )
  const relay = {
    id: NodeId.make("relay"),
    hostname: "relay",
    policyServer: NodeId.make("me"),
    keyHash: Option.none()
  }
  const output = { write: () => true, over: () => {} }

  it.effect("are started after it is binding, which happens once", () =>
    Effect.gen(function* () {
      const done: Array<string> = []
      const first = yield* Effect.cached(Effect.asVoid(Effect.sync(() => done.push("binding"))))
      const { agents, subRelays } = agentsOf(done, first)
      yield* agents.run({ hostname: "a", classes: [] }, output)
      yield* subRelays.run({
        relay,
        nodes: ["b"],
        classes: [],
        report: () => ({ ...output, start: () => {}, end: () => {} }),
        output: () => output
      })
      expect(done).toEqual(["binding", "agent", "sub-relay"])
    })
  )

  it.effect("are not started where it can't be made binding, and each node's end says why", () =>
    Effect.gen(function* () {
      const done: Array<string> = []
      const ends: Array<unknown> = []
      const { agents, subRelays } = agentsOf(done, new StorageError({ message: "/a/path" }))
      expect(yield* Effect.flip(agents.run({ hostname: "a", classes: [] }, output))).toMatchObject({
        _tag: "AgentError",
        message: expect.not.stringContaining("/a/path")
      })
      yield* subRelays.run({
        relay,
        nodes: ["b", "c"],
        classes: [],
        report: (node) => ({
          ...output,
          start: () => {},
          end: ({ error }) => void ends.push([node, error?._tag])
        }),
        output: () => output
      })
      expect(ends).toEqual([
        ["b", "StorageError"],
        ["c", "StorageError"]
      ])
      expect(done).toEqual([])
    })
  )
})
