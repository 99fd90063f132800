/**
 * Which entry is tried when: one at a time for each file, several files at once, each when it is due and the policy
 * server is worth trying. Of what waits, only when each shard is to be looked at is held in memory.
 */
import { Clock, Deferred, Duration, Effect, FiberId, Option, type Scope } from "effect"
import type { DiskError } from "../../disk/Disk.ts"
import type { FileLocks } from "../../disk/FileLocks.ts"
import type { Verdict } from "./Attempt.ts"
import * as EntryName from "./EntryName.ts"
import type { Attempts, EntryRecord } from "./EntryRecord.ts"
import { drop, type OutboxEnd, tell } from "./OutboxEnd.ts"
import { delayAfter, type RetrySettings } from "./RetrySchedule.ts"
import type { Spool } from "./Spool.ts"
import { Timetable } from "./Timetable.ts"
import type { Pass, UpstreamGate } from "./UpstreamGate.ts"

type Entry = EntryName.EntryName

/** What became of an entry, for who waits for it. */
export type Outcome = Verdict | { readonly _tag: "Deleted" }

export interface Deliveries {
  /** A file is to be looked at in so many milliseconds, or sooner. */
  readonly due: (key: string, inMillis: number) => Effect.Effect<void>
  /** All are to be looked at now. */
  readonly allDue: Effect.Effect<void>
  /** Tries a file as soon as something may be sent; returns when that has begun. */
  readonly start: (key: string) => Effect.Effect<void>
  /** Tries what is due, without end. */
  readonly run: Effect.Effect<never>
  readonly isSending: (entry: Entry) => boolean
  /** The next outcome of an entry, from now on. */
  readonly listen: (entry: Entry) => Effect.Effect<Effect.Effect<Outcome>>
  /** Nobody waits for it any more. */
  readonly unlisten: (entry: Entry) => Effect.Effect<void>
  /** The entry is no longer there: who waits for it learns why, and its sending, if it is being sent, stops. */
  readonly ended: (entry: Entry, outcome: Outcome) => Effect.Effect<void>
}

/** How long a refused entry is kept. */
const refusedRetention = Duration.days(7)

/** What is due only later than this is looked at all the same: the clock may have been set. Milliseconds. */
const longestRest = 3_600_000

/** A file of which a version is being sent, and no other meanwhile. */
interface Flight {
  /** That version's order. */
  current: string | undefined
  stopped: Deferred.Deferred<void>
  /** Somebody wanted to try this file meanwhile. */
  missed: boolean
}

const monotonic = Effect.map(Clock.currentTimeNanos, (nanos) => Number(nanos / 1_000_000n))

export const make = (parts: {
  readonly spool: Spool
  readonly gate: UpstreamGate
  readonly locks: FileLocks
  readonly retry: RetrySettings
  readonly attempt: (
    spool: Spool,
    entry: Entry,
    record: Option.Option<EntryRecord>,
    answered: Effect.Effect<void>
  ) => Effect.Effect<Verdict, DiskError>
  /** Of the daemon: what is under way ends with it. */
  readonly scope: Scope.Scope
}): Deliveries => {
  const { spool, gate, locks, retry, scope } = parts
  const flights = new Map<string, Flight>()
  const listeners = new Map<string, Deferred.Deferred<Outcome>>()
  const timetable = new Timetable()
  const wake = Effect.unsafeMakeLatch(false)

  const due = (key: string, inMillis: number) =>
    Effect.map(monotonic, (now) => {
      timetable.add(EntryName.shardOf(key), now + Math.max(0, inMillis))
      wake.unsafeOpen()
    })

  const allDue = Effect.map(monotonic, (now) => {
    for (const shard of spool.shards()) timetable.add(shard, now)
    wake.unsafeOpen()
  })

  /** In how many milliseconds an entry is to be looked at; 0: it is due. */
  const restOf = ({ state, time }: Entry, now: number): number => {
    const rest = Math.max(0, time - now)
    if (state === "refused") return Math.min(rest, longestRest)
    // What is further away than any delay was noted before the clock was set back.
    return rest > Math.ceil(Duration.toMillis(retry.max)) ? 0 : rest
  }

  const scheduleAll = (entries: ReadonlyArray<Entry>) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Effect.forEach(entries, (entry) => due(entry.key, restOf(entry, now)), { discard: true })
    )

  const resolve = (entry: Entry, outcome: Outcome) =>
    Effect.suspend(() => {
      const listener = listeners.get(EntryName.idOf(entry))
      return listener === undefined ? Effect.void : Effect.asVoid(Deferred.succeed(listener, outcome))
    })

  const isSending = ({ key, order }: Entry): boolean => flights.get(key)?.current === order

  const ended: Deliveries["ended"] = (entry, outcome) =>
    Effect.gen(function* () {
      yield* resolve(entry, outcome)
      const flight = flights.get(entry.key)
      if (flight !== undefined && flight.current === entry.order)
        yield* Deferred.succeed(flight.stopped, undefined)
    })

  /** The version to send. Older ones are gone from the disk before: none may come back once this one was sent. */
  const choose = (key: string, flight: Flight) =>
    Effect.gen(function* () {
      const versions = yield* spool.versions(key)
      const newest = versions.find(({ state }) => state === "waiting")
      if (newest === undefined) return undefined
      const older = versions.filter(({ order }) => order < newest.order)
      for (const entry of older) {
        yield* drop(spool, entry, "replaced")
        yield* ended(entry, { _tag: "Replaced" })
      }
      yield* spool.settle(key)
      flight.current = newest.order
      flight.stopped = yield* Deferred.make<void>()
      return newest
    }).pipe(locks.alone(key), Effect.uninterruptible)

  /** What is left of an entry behind a verdict. */
  const apply = (entry: Entry, verdict: Verdict, count: number, isReplaced: boolean) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      if (!("message" in verdict) || isReplaced) {
        yield* spool.remove(entry, { replaced: isReplaced })
        if (isReplaced) yield* spool.settle(entry.key)
        return []
      }
      const { message: error } = verdict
      if (verdict._tag === "Refused") {
        const attempts: Attempts = { count, at: now, error, status: Option.some(verdict.status) }
        const time = now + Duration.toMillis(refusedRetention)
        return [yield* spool.change(entry, { state: "refused", time }, { attempts, durable: true })]
      }
      const time = Math.ceil(now + Duration.toMillis(yield* delayAfter(retry, count)))
      const attempts: Attempts = { count, at: now, error, status: Option.none() }
      return [yield* spool.change(entry, { state: "waiting", time }, { attempts, durable: false })]
    })

  /** Gives the versions that are left of the file. */
  const settle = (flight: Flight, entry: Entry, record: Option.Option<EntryRecord>, verdict: Verdict) =>
    Effect.gen(function* () {
      flight.current = undefined
      const versions = yield* spool.versions(entry.key)
      const current = versions.find(({ order }) => order === entry.order)
      const others = versions.filter(({ order }) => order !== entry.order)
      const isReplaced = others.some(({ order, state }) => state === "waiting" && order > entry.order)
      if (current === undefined) return others
      const tried = isUntried(current, record)
        ? 0
        : Option.match(yield* spool.attempts(current), { onNone: () => 0, onSome: ({ count }) => count })
      const left = yield* apply(current, verdict, tried + 1, isReplaced)
      yield* tell(endOf(verdict, isReplaced), entry, record, {
        attempts: tried + 1,
        ...("message" in verdict ? { error: verdict.message } : {})
      })
      yield* resolve(entry, verdict)
      return [...left, ...others]
    }).pipe(locks.alone(entry.key))

  /** Tries the newest version of a file, and then the one that came meanwhile. */
  const deliver = (key: string, flight: Flight, pass: Pass): Effect.Effect<void, DiskError> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const entry = yield* choose(key, flight)
        if (entry === undefined) return
        const record = yield* spool.record(entry)
        const stopped = Effect.as(Deferred.await(flight.stopped), { _tag: "Replaced" } as const)
        const attempt = parts.attempt(spool, entry, record, pass.answered)
        const verdict = yield* restore(Effect.raceFirst(attempt, stopped))
        if (verdict._tag === "Unreachable") yield* pass.failed(verdict.message)
        const left = yield* settle(flight, entry, record, verdict)
        const isNewer = left.some(({ order, state }) => state === "waiting" && order > entry.order)
        if (isNewer && verdict._tag !== "Unreachable") yield* restore(deliver(key, flight, pass))
        else yield* scheduleAll(left)
      })
    )

  /** Where the disk fails, the entry is as it was, and tried again. */
  const afterFailure = (key: string) => (error: DiskError) =>
    Effect.logError("the outbox can't be read or written").pipe(
      Effect.annotateLogs({ file: key, error: error.message }),
      Effect.andThen(due(key, Duration.toMillis(retry.max)))
    )

  /** A defect concerns one file, and ends neither the others' deliveries nor its own. */
  const afterDefect = (key: string) => (defect: unknown) =>
    Effect.logError("a delivery failed by a defect").pipe(
      Effect.annotateLogs({ file: key, defect: String(defect) }),
      Effect.andThen(due(key, Duration.toMillis(retry.max)))
    )

  const launch = (key: string, pass: Pass) =>
    Effect.suspend(() => {
      const other = flights.get(key)
      if (other !== undefined) {
        other.missed = true
        return pass.release
      }
      const flight: Flight = { current: undefined, stopped: Deferred.unsafeMake(FiberId.none), missed: false }
      flights.set(key, flight)
      const end = Effect.suspend(() => {
        flights.delete(key)
        return flight.missed ? due(key, 0) : Effect.void
      })
      return deliver(key, flight, pass).pipe(
        Effect.catchTag("DiskError", afterFailure(key)),
        Effect.catchAllDefect(afterDefect(key)),
        Effect.interruptible,
        Effect.ensuring(Effect.andThen(end, pass.release)),
        Effect.withSpan("Outbox.deliver", { attributes: { file: key } }),
        Effect.forkIn(scope)
      )
    }).pipe(Effect.asVoid)

  const start = (key: string) =>
    Effect.uninterruptibleMask((restore) => Effect.flatMap(restore(gate.enter), (pass) => launch(key, pass)))

  const dropOld = (entry: Entry) =>
    Effect.gen(function* () {
      const versions = yield* spool.versions(entry.key)
      const now = yield* Clock.currentTimeMillis
      for (const version of versions)
        if (version.state === "refused" && version.time <= now) yield* drop(spool, version, "evicted")
    }).pipe(locks.alone(entry.key))

  const visit = (shard: number) =>
    Effect.gen(function* () {
      for (const entry of yield* spool.shard(shard)) {
        const now = yield* Clock.currentTimeMillis
        const rest = restOf(entry, now)
        if (rest > 0) yield* due(entry.key, rest)
        else if (entry.state === "refused") yield* dropOld(entry)
        else yield* tryDue(entry.key)
      }
    }).pipe(Effect.catchTag("DiskError", (error) => afterFailure(EntryName.printShard(shard))(error)))

  const tryDue = (key: string) =>
    Effect.suspend(() => {
      const flight = flights.get(key)
      if (flight === undefined) return start(key)
      flight.missed = true
      return Effect.void
    })

  const look = Effect.gen(function* () {
    wake.unsafeClose()
    const next = timetable.take(yield* monotonic)
    if ("shard" in next) yield* visit(next.shard)
    else if (Number.isFinite(next.wait)) yield* Effect.timeoutOption(wake.await, next.wait)
    else yield* wake.await
  })

  return {
    due,
    allDue,
    start,
    run: Effect.forever(look),
    isSending,
    listen: (entry) =>
      Effect.sync(() => {
        const listener = Deferred.unsafeMake<Outcome>(FiberId.none)
        listeners.set(EntryName.idOf(entry), listener)
        return Deferred.await(listener)
      }),
    unlisten: (entry) => Effect.sync(() => listeners.delete(EntryName.idOf(entry))),
    ended
  }
}

/** What is still due since it was accepted: of most entries nothing has to be read. */
const isUntried = ({ time }: Entry, record: Option.Option<EntryRecord>): boolean =>
  Option.exists(record, ({ accepted }) => accepted === time)

/** Behind a verdict, by whether a newer version waits: that one ends what would have gone on. */
const endOf = (verdict: Verdict, isReplaced: boolean): OutboxEnd => {
  switch (verdict._tag) {
    case "Refused":
      return "refused"
    case "Deferred":
    case "Unreachable":
      return isReplaced ? "replaced" : "deferred"
    default:
      return ends[verdict._tag]
  }
}

const ends = {
  Delivered: "delivered",
  Stored: "stored",
  Expired: "expired",
  Replaced: "replaced",
  Damaged: "damaged"
} as const
