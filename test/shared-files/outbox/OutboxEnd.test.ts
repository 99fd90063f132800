import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Logger, Metric, MetricState, Option } from "effect"
import { Outbox } from "../../../src/shared-files/outbox/Outbox.ts"
import type { OutboxEnd } from "../../../src/shared-files/outbox/OutboxEnd.ts"
import { SharedFileStore } from "../../../src/shared-files/store/SharedFileStore.ts"
import { ScriptedUpstream } from "../../../src/testing/ScriptedUpstream.ts"
import { hashOf, memory, nameOf, outboxLayer, pass, spoil, topology, upload } from "../../support/Outboxes.ts"

const name = nameOf("file.txt")

const setUp = () => {
  const upstream = new ScriptedUpstream()
  const disk = memory()
  const nodes = topology()
  const logged: Array<Record<string, unknown>> = []
  const logger = Logger.make(({ annotations, logLevel, message }) => {
    logged.push({ ...Object.fromEntries(annotations), level: logLevel.label, message: String(message) })
  })
  const layer = outboxLayer({ upstream, disk, topology: nodes }).pipe(
    Layer.provideMerge(Logger.replace(Logger.defaultLogger, logger))
  )
  return { upstream, disk, nodes, logged, layer }
}
type World = ReturnType<typeof setUp>

const ids = Effect.gen(function* () {
  const { entries } = yield* (yield* Outbox).list(10, Option.none())
  return entries.map(({ id }) => id)
})

/** It waits, after a first try in vain. */
const waitingUpload = ({ upstream }: World, more: Parameters<typeof upload>[2] = {}) =>
  Effect.gen(function* () {
    upstream.answer = () => "fail"
    expect(yield* upload(name, "hello", more)).toBe("queued")
  })

const refusedUpload = ({ upstream }: World) =>
  Effect.gen(function* () {
    upstream.answer = () => "reject"
    yield* Effect.flip(upload(name, "hello"))
  })

const nothing = { entries: [], waiting: 0, refused: 0 }

/** What leads to an end, what is told of it, and what is left. */
const cases: Record<
  OutboxEnd,
  {
    readonly happens: (world: World) => Effect.Effect<void, unknown, Outbox | SharedFileStore>
    readonly message: string
    readonly level: "INFO" | "WARN"
    readonly left: {
      readonly entries: ReadonlyArray<object>
      readonly waiting: number
      readonly refused: number
    }
    readonly details?: Record<string, unknown>
  }
> = {
  delivered: {
    happens: () => upload(name, "hello"),
    message: "delivered to the policy server",
    level: "INFO",
    left: nothing,
    details: { attempts: 1 }
  },
  stored: {
    happens: (world) =>
      Effect.gen(function* () {
        yield* waitingUpload(world)
        world.nodes.tree = { ...world.nodes.tree, far: { hostname: "far.example.com" } }
        yield* pass("1 second")
        const { has } = yield* SharedFileStore
        const location = { folders: ["far", "source"], file: "file.txt" }
        expect(yield* has(location, hashOf("hello"))).toBe(true)
        expect(world.upstream.attempts).toBe(1)
      }),
    message: "its target is below this relay now",
    level: "INFO",
    left: nothing
  },
  refused: {
    happens: refusedUpload,
    message: "the policy server refuses a shared file",
    level: "WARN",
    left: {
      entries: [{ state: "refused", attempts: 1, last_error: "no", next_try: null }],
      waiting: 0,
      refused: 1
    },
    details: { error: "no", attempts: 1 }
  },
  deferred: {
    happens: waitingUpload,
    message: "could not be delivered, and will be tried again",
    level: "WARN",
    left: {
      entries: [
        {
          state: "waiting",
          attempts: 1,
          last_error: "answered 503",
          next_try: expect.stringMatching(/^1970-01-01T00:00:0[01]\.\d{3}Z$/)
        }
      ],
      waiting: 1,
      refused: 0
    },
    details: { error: "answered 503", attempts: 1 }
  },
  expired: {
    happens: (world) =>
      Effect.gen(function* () {
        yield* waitingUpload(world, { expires: Option.some(60) })
        yield* pass("6 minutes")
        expect(world.upstream.taken).toEqual([])
      }),
    message: "expired before it could be delivered",
    level: "WARN",
    left: nothing
  },
  replaced: {
    happens: (world) =>
      Effect.gen(function* () {
        yield* waitingUpload(world)
        world.upstream.answer = () => "take"
        expect(yield* upload(name, "hello again")).toBe("stored")
        yield* pass("1 hour")
        expect(world.upstream.taken).toMatchObject([{ content: "hello again" }])
      }),
    message: "replaced by a newer version before it was delivered",
    level: "INFO",
    left: nothing
  },
  damaged: {
    happens: (world) =>
      Effect.gen(function* () {
        yield* waitingUpload(world)
        yield* spoil(world.disk)
        yield* pass("1 second")
        expect(world.upstream.attempts).toBe(1)
      }),
    message: "is not whole on the disk",
    level: "WARN",
    left: nothing
  },
  deleted: {
    happens: (world) =>
      Effect.gen(function* () {
        yield* waitingUpload(world)
        const { remove } = yield* Outbox
        for (const id of yield* ids) expect(yield* remove(id)).toBe(true)
        yield* pass("1 hour")
        expect(world.upstream.attempts).toBe(1)
      }),
    message: "was deleted from the outbox",
    level: "INFO",
    left: nothing
  },
  evicted: {
    happens: (world) => Effect.andThen(refusedUpload(world), pass("169 hours")),
    message: "a refused shared file was removed",
    level: "INFO",
    left: nothing
  }
}

const counted = (end: string) =>
  Effect.map(Metric.snapshot, (pairs) => {
    const found = pairs.find(
      ({ metricKey: { name, tags } }) =>
        name === "rudder_relay_outbox_deliveries_total" && tags.some(({ value }) => value === end)
    )
    return found !== undefined && MetricState.isCounterState(found.metricState)
      ? Number(found.metricState.count)
      : -1
  })

describe("an entry of the outbox", () => {
  for (const [end, { happens, message, level, left, details = {} }] of Object.entries(cases))
    it.effect(`that is ${end} is seen in the list and the status, logged once, and counted`, () => {
      const world = setUp()
      return Effect.gen(function* () {
        const before = yield* counted(end)
        yield* happens(world)
        const outbox = yield* Outbox
        const { waiting, refused } = yield* outbox.status
        expect({ waiting: waiting.entries, refused: refused.entries }).toEqual({
          waiting: left.waiting,
          refused: left.refused
        })
        expect({ waiting: waiting.bytes, refused: refused.bytes }).toEqual({
          waiting: 5 * left.waiting,
          refused: 5 * left.refused
        })
        expect((yield* outbox.list(10, Option.none())).entries).toMatchObject(left.entries)
        expect(yield* counted(end)).toBe(before + 1)
        const told = world.logged.filter((line) => String(line.message).includes(message))
        expect(told).toMatchObject([
          { level, target: "far", source: "source", file_id: "file.txt", ...details }
        ])
      }).pipe(Effect.provide(world.layer))
    })

  it.effect("that fails while a newer version waits is replaced by that, and not tried again", () => {
    const world = setUp()
    const { upstream } = world
    return Effect.gen(function* () {
      const before = { replaced: yield* counted("replaced"), deferred: yield* counted("deferred") }
      upstream.answer = () => "hang"
      yield* Effect.fork(upload(name, "first"))
      yield* pass("1 second")
      yield* Effect.fork(upload(name, "second"))
      yield* pass("10 seconds")
      yield* Deferred.succeed(upstream.hangs, undefined)
      yield* pass("1 milli")
      expect((yield* (yield* Outbox).list(10, Option.none())).entries).toMatchObject([
        { size: 6, state: "waiting" }
      ])
      expect({ replaced: yield* counted("replaced"), deferred: yield* counted("deferred") }).toEqual({
        replaced: before.replaced + 1,
        deferred: before.deferred
      })
    }).pipe(Effect.provide(world.layer))
  })
})
