import { describe, expect, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Option, TestClock } from "effect"
import * as FileLocks from "../../../src/disk/FileLocks.ts"
import type { Attempt, Verdict } from "../../../src/shared-files/outbox/Attempt.ts"
import * as Deliveries from "../../../src/shared-files/outbox/Deliveries.ts"
import type { EntryName } from "../../../src/shared-files/outbox/EntryName.ts"
import * as UpstreamGate from "../../../src/shared-files/outbox/UpstreamGate.ts"
import { MemoryStorage } from "../../support/MemoryStorage.ts"

const retry = { initial: Duration.seconds(1), max: Duration.minutes(5) }
const day = 86_400_000

/** An attempt that was made. */
interface Attempted {
  readonly entry: EntryName
  /** What was called of the storage before. */
  readonly calls: ReadonlyArray<string>
}

/** Deliveries that run, of what a test puts into the storage, whose attempts go as it says. */
const setUp = Effect.gen(function* () {
  const storage = new MemoryStorage()
  const attempted: Array<Attempted> = []
  const world = {
    storage,
    attempted,
    /** What becomes of an attempt. */
    verdict: (_entry: EntryName): Effect.Effect<Verdict> => Effect.succeed({ _tag: "Delivered" }),
    /** Before an entry is removed. */
    removing: Effect.void,
    /** Now, and the most there were. */
    sending: 0,
    most: 0
  }
  const attempt: Attempt = (entry, _loaded, answered) =>
    Effect.suspend(() => {
      attempted.push({ entry, calls: storage.calls.splice(0) })
      world.most = Math.max(world.most, ++world.sending)
      return world.verdict(entry)
    }).pipe(
      Effect.tap(({ _tag }) => (_tag === "Unreachable" ? Effect.void : Effect.sync(answered))),
      Effect.ensuring(Effect.sync(() => world.sending--))
    )
  const gate = UpstreamGate.make(retry)
  const locks = FileLocks.make()
  const spool = storage.spool()
  const deliveries = Deliveries.make({
    spool: {
      ...spool,
      remove: (...entry) =>
        Effect.andThen(
          Effect.suspend(() => world.removing),
          spool.remove(...entry)
        )
    },
    gate,
    locks,
    retry,
    attempt,
    scope: yield* Effect.scope
  })
  yield* Effect.forkScoped(deliveries.run)
  return Object.assign(world, { deliveries, gate, locks })
})

/** What was set off comes to rest: nothing of it takes time. */
const rest = TestClock.adjust(0)

const versionsOf = (attempted: ReadonlyArray<Attempted>) =>
  attempted.map(({ entry }) => Number.parseInt(entry.order, 16))

const deferred: Verdict = { _tag: "Deferred", message: "not now" }

describe("deliveries", () => {
  it.scoped("try each entry when it is due, and not before", () =>
    Effect.gen(function* () {
      const { storage, attempted, deliveries } = yield* setUp
      for (const seconds of [30, 10, 20]) storage.put({ fileId: `at-${seconds}`, time: seconds * 1000 })
      yield* deliveries.allDue
      yield* TestClock.adjust("9999 millis")
      expect(attempted).toEqual([])
      for (const count of [1, 2, 3]) {
        yield* TestClock.adjust(count === 1 ? "1 millis" : "10 seconds")
        expect(attempted).toHaveLength(count)
      }
      expect(attempted.map(({ entry }) => entry.time)).toEqual([10_000, 20_000, 30_000])
      expect(storage.kept.size).toBe(0)
    })
  )

  it.scoped("try at once what is further away than any delay: the clock was set back since", () =>
    Effect.gen(function* () {
      const { storage, attempted, deliveries } = yield* setUp
      storage.put({ time: Duration.toMillis(retry.max) + 1 })
      yield* deliveries.allDue
      yield* rest
      expect(attempted).toHaveLength(1)
    })
  )

  it.scoped("try so many files at once as the gate lets, and only one version of each", () =>
    Effect.gen(function* () {
      const world = yield* setUp
      const { storage, deliveries, gate } = world
      const hangs = yield* Deferred.make<Verdict>()
      world.verdict = () => Deferred.await(hangs)
      for (let file = 0; file < 20; file++)
        for (const version of [1, 2]) storage.put({ fileId: `file-${file}`, version })
      yield* gate.answered
      yield* deliveries.allDue
      yield* rest
      expect(world.sending).toBe(UpstreamGate.maxSending)
      yield* Deferred.succeed(hangs, { _tag: "Delivered" })
      yield* rest
      expect(versionsOf(world.attempted)).toEqual(Array.from({ length: 20 }, () => 2))
      expect(world.most).toBe(UpstreamGate.maxSending)
      expect(storage.kept.size).toBe(0)
    })
  )

  it.scoped(
    "go on while files that were taken are removed, as long as those are no more than are sent at once",
    () =>
      Effect.gen(function* () {
        const world = yield* setUp
        const { storage, attempted, deliveries, gate } = world
        const hangs = yield* Deferred.make<void>()
        world.removing = Deferred.await(hangs)
        for (let file = 0; file < 40; file++) storage.put({ fileId: `file-${file}` })
        yield* gate.answered
        yield* deliveries.allDue
        yield* rest
        expect(attempted).toHaveLength(2 * UpstreamGate.maxSending)
        yield* Deferred.succeed(hangs, undefined)
        yield* rest
        expect(attempted).toHaveLength(40)
        // Whoever was done with a file left room for the next who is.
        const hangsAgain = yield* Deferred.make<void>()
        world.removing = Deferred.await(hangsAgain)
        for (let file = 40; file < 80; file++) storage.put({ fileId: `file-${file}` })
        yield* deliveries.allDue
        yield* rest
        expect(attempted).toHaveLength(40 + 2 * UpstreamGate.maxSending)
        yield* Deferred.succeed(hangsAgain, undefined)
        yield* rest
        expect(attempted).toHaveLength(80)
        expect(world.most).toBeLessThanOrEqual(UpstreamGate.maxSending)
        expect(storage.kept.size).toBe(0)
      })
  )

  it.scoped("send a newer version of what was taken by a place of its own, not by one that was left", () =>
    Effect.gen(function* () {
      const world = yield* setUp
      const { storage, attempted, deliveries, gate } = world
      const [older, newer] = [yield* Deferred.make<Verdict>(), yield* Deferred.make<Verdict>()]
      world.verdict = ({ order }) => Deferred.await(Number.parseInt(order, 16) === 1 ? older : newer)
      const files = Array.from({ length: 20 }, (_, file) => `file-${file}`)
      for (const fileId of files) storage.put({ fileId })
      yield* gate.answered
      yield* deliveries.allDue
      yield* rest
      for (const fileId of files) storage.put({ fileId, version: 2 })
      yield* Deferred.succeed(older, { _tag: "Delivered" })
      yield* rest
      expect(world.sending).toBe(UpstreamGate.maxSending)
      yield* Deferred.succeed(newer, { _tag: "Delivered" })
      yield* rest
      expect(versionsOf(attempted).filter((version) => version === 2)).toHaveLength(20)
      expect(world.most).toBe(UpstreamGate.maxSending)
      expect(storage.kept.size).toBe(0)
    })
  )

  it.scoped("have older versions gone for good before the newest is tried, and tell who waits for them", () =>
    Effect.gen(function* () {
      const { storage, attempted, deliveries } = yield* setUp
      const older = storage.put({ version: 1 })
      storage.put({ version: 2 })
      const told = yield* deliveries.listen(older)
      yield* deliveries.start(older.key)
      yield* rest
      expect(yield* told).toEqual({ _tag: "Replaced" })
      expect(versionsOf(attempted)).toEqual([2])
      const calls = attempted[0]?.calls ?? []
      expect(calls.filter((call) => call === "remove")).toHaveLength(1)
      expect(calls.indexOf("syncReplaced")).toBeGreaterThan(calls.indexOf("remove"))
    })
  )

  it.scoped("try the version that came meanwhile behind the one that is being sent", () =>
    Effect.gen(function* () {
      const world = yield* setUp
      const { storage, attempted, deliveries } = world
      const hangs = yield* Deferred.make<Verdict>()
      world.verdict = () => Deferred.await(hangs)
      const first = storage.put({ version: 1 })
      yield* deliveries.start(first.key)
      yield* rest
      storage.put({ version: 2 })
      yield* deliveries.due(first.key, 0)
      yield* rest
      expect(deliveries.isSending(first)).toBe(true)
      expect(versionsOf(attempted)).toEqual([1])
      world.verdict = () => Effect.succeed({ _tag: "Delivered" })
      // Not taken: but it is not tried again, now that there is a newer one, and no attempt has to be noted.
      yield* Deferred.succeed(hangs, deferred)
      yield* rest
      expect(versionsOf(attempted)).toEqual([1, 2])
      expect(attempted[1]?.calls).not.toContain("change")
      expect(storage.kept.size).toBe(0)
      yield* TestClock.adjust("1 day")
      expect(attempted).toHaveLength(2)
    })
  )

  it.scoped("send a file once, however often it is started meanwhile", () =>
    Effect.gen(function* () {
      const world = yield* setUp
      const { storage, attempted, deliveries, gate } = world
      const hangs = yield* Deferred.make<Verdict>()
      world.verdict = () => Deferred.await(hangs)
      const entry = storage.put()
      yield* gate.answered
      for (let times = 0; times < 2 * UpstreamGate.maxSending; times++) {
        yield* deliveries.start(entry.key)
        yield* rest
      }
      expect(world.most).toBe(1)
      yield* Deferred.succeed(hangs, { _tag: "Delivered" })
      yield* TestClock.adjust("1 hour")
      expect(attempted).toHaveLength(1)
    })
  )

  it.scoped("look at a file once more that somebody wanted to try while it was being sent", () =>
    Effect.gen(function* () {
      const world = yield* setUp
      const { storage, attempted, deliveries } = world
      const hangs = yield* Deferred.make<Verdict>()
      world.verdict = () => Deferred.await(hangs)
      const entry = storage.put({ version: 1 })
      yield* deliveries.start(entry.key)
      yield* rest
      yield* deliveries.due(entry.key, 0)
      yield* rest
      // It comes when the one that was sent is about to go, so that nobody has seen it there.
      storage.fails = (call) => {
        if (call === "remove" && storage.kept.size === 1) storage.put({ version: 3 })
        return false
      }
      world.verdict = () => Effect.succeed(deferred)
      yield* Deferred.succeed(hangs, { _tag: "Delivered" })
      yield* rest
      expect(versionsOf(attempted)).toEqual([1, 3])
    })
  )

  it.scoped("leave no place of the gate to somebody who is gone, in whatever turn that was", () =>
    Effect.gen(function* () {
      const { storage, deliveries, gate } = yield* setUp
      yield* gate.answered
      const entry = storage.put()
      // A turn is a few steps, and an interruption is seen between two of them.
      const stepByStep = Effect.withMaxOpsBeforeYield(16)
      for (let turns = 0; turns < 30; turns++) {
        const [first, ...others] = yield* Effect.replicateEffect(gate.enter, UpstreamGate.maxSending)
        const starting = yield* Effect.fork(stepByStep(deliveries.start(entry.key)))
        yield* Effect.repeatN(Effect.yieldNow(), turns % 7)
        first?.release()
        yield* Effect.repeatN(Effect.yieldNow(), turns)
        yield* Fiber.interrupt(starting)
        for (const { release } of others) release()
        // What was started comes to its end.
        yield* Effect.repeatN(Effect.yieldNow(), 100)
        const entered = yield* Effect.fork(Effect.replicateEffect(gate.enter, UpstreamGate.maxSending))
        yield* Effect.repeatN(Effect.yieldNow(), 20)
        expect(Option.isSome(yield* Fiber.poll(entered)), `after ${turns} turns`).toBe(true)
        for (const { release } of yield* Fiber.join(entered)) release()
        storage.put()
      }
    })
  )

  it.scoped("stop sending what is no longer there, and leave nothing of it", () =>
    Effect.gen(function* () {
      const world = yield* setUp
      const { storage, deliveries } = world
      world.verdict = () => Effect.never
      const entry = storage.put()
      const told = yield* deliveries.listen(entry)
      yield* deliveries.start(entry.key)
      yield* rest
      expect(world.sending).toBe(1)
      storage.kept.clear()
      yield* deliveries.ended(entry, { _tag: "Deleted" })
      yield* rest
      expect(yield* told).toEqual({ _tag: "Deleted" })
      expect(world.sending).toBe(0)
      expect(deliveries.isSending(entry)).toBe(false)
      expect(storage.kept.size).toBe(0)
    })
  )

  it.scoped("do to an entry what its attempt says once nobody else is at the file", () =>
    Effect.gen(function* () {
      const world = yield* setUp
      const { storage, deliveries, locks } = world
      const entry = storage.put()
      let leave: (() => void) | undefined
      world.verdict = () =>
        Effect.sync(() => {
          leave = locks.take(entry.key)
          return { _tag: "Delivered" }
        })
      yield* deliveries.start(entry.key)
      yield* rest
      expect(storage.of(entry)).toBeDefined()
      expect(deliveries.isSending(entry)).toBe(true)
      leave?.()
      yield* rest
      expect(storage.of(entry)).toBeUndefined()
      expect(locks.isFree(() => entry.key)).toBe(true)
    })
  )

  it.scoped("remove what was refused when it has been kept long enough, also where the clock is set", () =>
    Effect.gen(function* () {
      const { storage, attempted, deliveries } = yield* setUp
      storage.put({ state: "refused", time: 7 * day })
      yield* deliveries.allDue
      yield* TestClock.adjust("6 days")
      expect(storage.kept.size).toBe(1)
      yield* TestClock.setTime(8 * day)
      yield* TestClock.adjust("1 hour")
      expect(storage.kept.size).toBe(0)
      expect(attempted).toEqual([])
    })
  )
})

describe("what an attempt says", () => {
  const ended: ReadonlyArray<Verdict> = [
    { _tag: "Delivered" },
    { _tag: "Stored" },
    { _tag: "Expired" },
    { _tag: "Replaced" },
    { _tag: "Damaged" }
  ]

  it.scoped.each(ended)("is the entry's end: $_tag", (verdict) =>
    Effect.gen(function* () {
      const world = yield* setUp
      world.verdict = () => Effect.succeed(verdict)
      const entry = world.storage.put()
      const told = yield* world.deliveries.listen(entry)
      yield* world.deliveries.start(entry.key)
      expect(yield* told).toEqual(verdict)
      expect(world.storage.kept.size).toBe(0)
    })
  )

  it.scoped("keeps what was refused apart for 7 days, with the reason", () =>
    Effect.gen(function* () {
      const world = yield* setUp
      world.verdict = () => Effect.succeed({ _tag: "Refused", message: "no", status: 403 })
      const entry = world.storage.put()
      const told = yield* world.deliveries.listen(entry)
      yield* world.deliveries.start(entry.key)
      expect(yield* told).toMatchObject({ _tag: "Refused", status: 403 })
      expect(world.storage.of(entry)).toMatchObject({
        name: { state: "refused", time: 7 * day },
        attempts: Option.some({ count: 1, at: 0, error: "no", status: Option.some(403) })
      })
      yield* TestClock.adjust("6 days")
      expect(world.attempted).toHaveLength(1)
    })
  )

  it.scoped("puts it off ever longer while it is not taken, and counts the attempts", () =>
    Effect.gen(function* () {
      const world = yield* setUp
      world.verdict = () => Effect.succeed(deferred)
      const entry = world.storage.put()
      yield* world.deliveries.start(entry.key)
      yield* rest
      for (let count = 1; count <= 12; count++) {
        const { name, attempts } = world.storage.of(entry) ?? {}
        const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        expect(attempts).toMatchObject(Option.some({ count, at: now, error: "not now" }))
        const delay = (name?.time ?? 0) - now
        const longest = Math.min(1000 * 2 ** (count - 1), 300_000)
        expect(delay).toBeGreaterThanOrEqual(0.8 * longest)
        expect(delay).toBeLessThanOrEqual(longest)
        yield* TestClock.adjust(delay - 1)
        expect(world.attempted).toHaveLength(count)
        yield* TestClock.adjust(1)
        expect(world.attempted).toHaveLength(count + 1)
      }
    })
  )

  it.scoped("holds back all others where the policy server can't be reached, but for one probe", () =>
    Effect.gen(function* () {
      const world = yield* setUp
      world.verdict = () => Effect.succeed({ _tag: "Unreachable", message: "no connection" })
      for (let file = 0; file < 20; file++) world.storage.put({ fileId: `file-${file}` })
      yield* world.deliveries.allDue
      yield* rest
      expect(world.attempted).toHaveLength(1)
      expect((yield* world.gate.status).problem).toEqual(Option.some("no connection"))
      yield* TestClock.adjust("1 second")
      expect(world.attempted).toHaveLength(2)
      world.verdict = () => Effect.succeed({ _tag: "Delivered" })
      yield* TestClock.adjust("5 minutes")
      expect(world.storage.kept.size).toBe(0)
      expect(world.most).toBeLessThanOrEqual(UpstreamGate.maxSending)
    })
  )
})

describe("a delivery that fails", () => {
  const cases: ReadonlyArray<{
    readonly what: string
    readonly begins: (world: Effect.Effect.Success<typeof setUp>) => void
    readonly ends: (world: Effect.Effect.Success<typeof setUp>) => void
  }> = [
    ...["versions", "load", "remove"].map((call) => ({
      what: `by the disk: ${call}`,
      begins: ({ storage }: Effect.Effect.Success<typeof setUp>) => {
        storage.fails = (found) => found === call
      },
      ends: ({ storage }: Effect.Effect.Success<typeof setUp>) => {
        storage.fails = () => false
      }
    })),
    {
      what: "by a defect",
      begins: (world) => {
        world.verdict = () => Effect.dieMessage("a defect")
      },
      ends: (world) => {
        world.verdict = () => Effect.succeed({ _tag: "Delivered" })
      }
    },
    {
      what: "by a defect behind the attempt",
      begins: (world) => {
        world.removing = Effect.dieMessage("a defect")
      },
      ends: (world) => {
        world.removing = Effect.void
      }
    }
  ]

  type Start = (deliveries: Deliveries.Deliveries, key: string) => Effect.Effect<void>
  const starts: ReadonlyArray<{ readonly when: string; readonly start: Start }> = [
    { when: "at once", start: ({ start }, key) => start(key) },
    { when: "when it was due", start: ({ dueNow }, key) => Effect.sync(() => dueNow(key)) }
  ]
  const tried = cases.flatMap((given) => starts.map((started) => ({ ...given, ...started })))

  it.scoped.each(tried)(
    "$when is tried again after the longest delay, and is in nobody's way: $what",
    (given) =>
      Effect.gen(function* () {
        const world = yield* setUp
        const { storage, deliveries, gate } = world
        const entry = storage.put()
        yield* gate.answered
        given.begins(world)
        yield* given.start(deliveries, entry.key)
        yield* rest
        given.ends(world)
        expect(deliveries.isSending(entry)).toBe(false)
        expect(storage.of(entry)).toBeDefined()
        // No place of the gate is lost.
        const places = yield* Effect.uninterruptible(
          Effect.replicateEffect(gate.enter, UpstreamGate.maxSending)
        )
        for (const { release } of places) release()
        const other = storage.put({ fileId: "other" })
        yield* given.start(deliveries, other.key)
        yield* rest
        expect(storage.of(other)).toBeUndefined()
        yield* TestClock.adjust(Duration.toMillis(retry.max) - 1)
        expect(storage.of(entry)).toBeDefined()
        yield* TestClock.adjust(1)
        expect(storage.of(entry)).toBeUndefined()
      })
  )

  it.scoped("leaves the shard that can't be listed for later", () =>
    Effect.gen(function* () {
      const { storage, deliveries, attempted } = yield* setUp
      storage.put()
      storage.fails = (call) => call === "shard"
      yield* deliveries.allDue
      yield* rest
      expect(attempted).toEqual([])
      storage.fails = () => false
      yield* TestClock.adjust(retry.max)
      expect(attempted).toHaveLength(1)
    })
  )
})
