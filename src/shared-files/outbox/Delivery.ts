/** One file's delivery: its newest version is tried, what the attempt says is done to the entry, and so on while newer ones come. */
import { Cause, Clock, Duration, Effect, FiberId, Option } from "effect"
import type { DiskError } from "../../disk/Disk.ts"
import type { FileLocks } from "../../disk/FileLocks.ts"
import type { Attempt, Verdict } from "./Attempt.ts"
import * as DueFiles from "./DueFiles.ts"
import type { EntryName } from "./EntryName.ts"
import type { Attempts, EntryRecord } from "./EntryRecord.ts"
import * as Flights from "./Flights.ts"
import { drop, type OutboxEnd, tell } from "./OutboxEnd.ts"
import { delayAfter, type RetrySettings } from "./RetrySchedule.ts"
import type { Spool } from "./Spool.ts"
import type { Permit } from "./UpstreamGate.ts"

/** What deliveries are made of. */
export interface DeliveryParts {
  readonly spool: Spool
  readonly locks: FileLocks
  readonly retry: RetrySettings
  readonly attempt: Attempt
  readonly flights: Flights.Flights
  readonly files: DueFiles.DueFiles
}

/** How long a refused entry is kept. */
const refusedRetention = Duration.days(7)

/** Tries the newest version of a file, and then the one that came meanwhile. */
export const deliver = (
  parts: DeliveryParts,
  key: string,
  flight: Flights.Flight,
  permit: Permit
): Effect.Effect<void, DiskError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const entry = yield* choose(parts, key, flight)
      if (entry === undefined) return
      const record = yield* parts.spool.record(entry)
      const verdict = yield* untilStopped(flight, parts.attempt(entry, record, permit.answered), restore)
      if (verdict._tag === "Unreachable") yield* permit.failed(verdict.message)
      const left = yield* conclude(parts, flight, entry, record, verdict)
      const isNewer = left.some(({ order, state }) => state === "waiting" && order > entry.order)
      // One that was stopped is interrupted for good: the newer version has a delivery of its own, at once.
      const goesOn = isNewer && !flight.isStopped && verdict._tag !== "Unreachable"
      if (goesOn) yield* restore(deliver(parts, key, flight, permit))
      else yield* DueFiles.dueByName(parts.files, left)
    })
  )

/**
 * Attempts it; where the version is not to be sent any more, the delivery's fiber is interrupted in it, and nowhere else.
 * A fiber of its own for each attempt would be as much work as the attempt.
 */
const untilStopped = (
  flight: Flights.Flight,
  attempt: Effect.Effect<Verdict, DiskError>,
  restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Effect.Effect<Verdict, DiskError> =>
  Effect.withFiberRuntime((fiber) => {
    if (flight.isStopped) return replaced
    flight.stop = () => fiber.unsafeInterruptAsFork(FiberId.none)
    return Effect.matchCauseEffect(restore(attempt), {
      onSuccess: Effect.succeed,
      onFailure: (cause) =>
        flight.isStopped && Cause.isInterrupted(cause) ? replaced : Effect.failCause(cause)
    })
  })

const replaced = Effect.succeed<Verdict>({ _tag: "Replaced" })

/** The version to send. Older ones are gone from the disk before: none may come back once this one was sent. */
const choose = ({ spool, locks, flights }: DeliveryParts, key: string, flight: Flights.Flight) =>
  Effect.gen(function* () {
    const versions = yield* spool.recentVersions(key)
    const newest = versions.find(({ state }) => state === "waiting")
    if (newest === undefined) return undefined
    const older = versions.filter(({ order }) => order < newest.order)
    for (const entry of older) {
      yield* drop(spool, entry, "replaced")
      yield* Flights.ended(flights, entry, { _tag: "Replaced" })
    }
    yield* spool.syncReplaced(key)
    flight.current = newest.order
    flight.isStopped = false
    flight.stop = () => {}
    return newest
  }).pipe(locks.alone(key), Effect.uninterruptible)

/** Does to an entry what an attempt says, tells of it, and gives the versions that are left of the file. */
const conclude = (
  parts: DeliveryParts,
  flight: Flights.Flight,
  entry: EntryName,
  record: Option.Option<EntryRecord>,
  verdict: Verdict
) =>
  Effect.gen(function* () {
    const { spool, flights } = parts
    flight.current = undefined
    // What was sent and is gone meanwhile is seen when it is to be removed; of the rest it is made sure that it is there.
    const versions = yield* verdict._tag === "Delivered"
      ? spool.recentVersions(entry.key)
      : spool.versions(entry.key)
    const current = versions.find(({ order }) => order === entry.order)
    const others = versions.filter(({ order }) => order !== entry.order)
    const isReplaced = others.some(({ order, state }) => state === "waiting" && order > entry.order)
    if (current === undefined) return others
    const tried = isUntried(current, record)
      ? 0
      : Option.match(yield* spool.attempts(current), { onNone: () => 0, onSome: ({ count }) => count })
    const left = yield* apply(parts, entry, verdict, tried + 1, isReplaced)
    yield* tell(endOf(verdict, isReplaced), entry, record, {
      attempts: tried + 1,
      ...("message" in verdict ? { error: verdict.message } : {})
    })
    yield* Flights.notify(flights, entry, verdict)
    return [...left, ...others]
  }).pipe(parts.locks.alone(entry.key))

/** An entry that is due since it was accepted was never tried: of most entries no attempts have to be read. */
const isUntried = ({ time }: EntryName, record: Option.Option<EntryRecord>): boolean =>
  Option.exists(record, ({ accepted }) => accepted === time)

/**
 * Removes the entry, or notes the attempt; gives what is left of it.
 *
 * @param count of the attempts, with this one
 */
const apply = (
  { spool, retry }: DeliveryParts,
  entry: EntryName,
  verdict: Verdict,
  count: number,
  isReplaced: boolean
) =>
  Effect.gen(function* () {
    if (!("message" in verdict) || isReplaced) {
      yield* removed(spool, entry, isReplaced)
      if (isReplaced) yield* spool.syncReplaced(entry.key)
      return []
    }
    const now = yield* Clock.currentTimeMillis
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

/** Removes what may be gone already: somebody else removed it. */
const removed = (spool: Spool, entry: EntryName, isReplaced: boolean): Effect.Effect<void, DiskError> =>
  Effect.catchAll(spool.remove(entry, { replaced: isReplaced }), (error) =>
    Effect.flatMap(spool.versions(entry.key), (versions) =>
      versions.some(({ order }) => order === entry.order) ? error : Effect.void
    )
  )

/** What is told of an entry behind an attempt. A newer version that waits ends what would have been tried again. */
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
