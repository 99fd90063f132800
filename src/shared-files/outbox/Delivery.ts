/** One file's delivery: its newest version is tried, what the attempt says is done to the entry, and so on while newer ones come. */
import { Cause, Clock, Duration, Effect, type Fiber, FiberId, Option } from "effect"
import * as AtOnce from "../../AtOnce.ts"
import type { DiskError } from "../../disk/Disk.ts"
import type { FileLocks } from "../../disk/FileLocks.ts"
import * as FiberClock from "../../FiberClock.ts"
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

/** Tries the newest version of a file, and then the one that came meanwhile. Interrupted in the attempt, and nowhere else. */
export const deliver = (
  parts: DeliveryParts,
  key: string,
  flight: Flights.Flight,
  permit: Permit
): Effect.Effect<void, DiskError> =>
  Effect.withFiberRuntime((fiber) => {
    const clock = FiberClock.of(fiber)
    return AtOnce.flatMap(choose(parts, key, flight, clock), (entry) =>
      entry === undefined
        ? Effect.void
        : Effect.flatMap(parts.spool.load(entry), (loaded) =>
            untilStopped(fiber, flight, parts.attempt(entry, loaded, permit.answered), (verdict) =>
              goOn(parts, { entry, flight, permit, clock, record: loaded.record, verdict })
            )
          )
    )
  })

interface Tried {
  readonly entry: EntryName
  /** None where it can't be read. */
  readonly record: Option.Option<EntryRecord>
  readonly verdict: Verdict
  readonly flight: Flights.Flight
  readonly permit: Permit
  readonly clock: Clock.Clock
}

/** Does what an attempt says, and tries the newer version if there is one. */
const goOn = (parts: DeliveryParts, tried: Tried): Effect.Effect<void, DiskError> => {
  const { entry, flight, permit, verdict } = tried
  const behind = (left: ReadonlyArray<EntryName>) => {
    if (left.length === 0) return Effect.void
    const isNewer = left.some(({ order, state }) => state === "waiting" && order > entry.order)
    // One that was stopped is interrupted for good: the newer version has a delivery of its own, at once.
    const goesOn =
      isNewer && !flight.isStopped && verdict._tag !== "Unreachable" && verdict._tag !== "Delivered"
    return goesOn ? deliver(parts, entry.key, flight, permit) : DueFiles.dueByName(parts.files, left)
  }
  if (verdict._tag === "Unreachable")
    return Effect.andThen(permit.failed(verdict.message), () => conclude(parts, tried, behind))
  // The next file may be sent while this one is removed; a newer version of it is due now, and has a delivery of its own.
  if (verdict._tag === "Delivered") permit.sent()
  return conclude(parts, tried, behind)
}

/**
 * Attempts it; where the version is not to be sent any more, the delivery's fiber is interrupted in it, and nowhere else.
 * A fiber of its own for each attempt would be as much work as the attempt.
 */
const untilStopped = <E>(
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  flight: Flights.Flight,
  attempt: Effect.Effect<Verdict>,
  then: (verdict: Verdict) => Effect.Effect<void, E>
): Effect.Effect<void, E> => {
  if (flight.isStopped) return then(replaced)
  flight.stop = () => fiber.unsafeInterruptAsFork(FiberId.none)
  return Effect.matchCauseEffect(Effect.interruptible(attempt), {
    onSuccess: then,
    onFailure: (cause) =>
      flight.isStopped && Cause.isInterrupted(cause) ? then(replaced) : Effect.failCause(cause)
  })
}

const replaced: Verdict = { _tag: "Replaced" }

/** The version to send. */
const choose = (parts: DeliveryParts, key: string, flight: Flights.Flight, clock: Clock.Clock) => {
  const { spool, locks } = parts
  const versions = locks.isFree(() => key) ? spool.recent(key, clock.unsafeCurrentTimeMillis()) : undefined
  const [only] = versions ?? []
  // As it is nearly always: nothing has to be waited for, and so nobody to be kept from the file.
  return versions?.length === 1 && only?.state === "waiting" && !spool.mayComeBack(key)
    ? Effect.succeed(board(flight, only))
    : chooseAlone(parts, key, flight)
}

/** Older versions are gone from the disk before: none may come back once the newest was sent. */
const chooseAlone = ({ spool, locks, flights }: DeliveryParts, key: string, flight: Flights.Flight) =>
  Effect.gen(function* () {
    const versions = yield* spool.versions(key)
    const newest = versions.find(({ state }) => state === "waiting")
    if (newest === undefined) return undefined
    const older = versions.filter(({ order }) => order < newest.order)
    for (const entry of older) {
      yield* drop(spool, entry, "replaced")
      yield* Flights.ended(flights, entry, { _tag: "Replaced" })
    }
    yield* spool.syncReplaced(key)
    return board(flight, newest)
  }).pipe(locks.alone(key), Effect.uninterruptible)

const board = (flight: Flights.Flight, entry: EntryName): EntryName => {
  flight.current = entry.order
  flight.isStopped = false
  flight.stop = () => {}
  return entry
}

type Versions = ReadonlyArray<EntryName>

/**
 * Does to an entry what an attempt says, tells of it, and goes on with the versions that are left of the file. Nobody else
 * is at it, as a rule: then nothing has to be waited for.
 */
const conclude = (
  parts: DeliveryParts,
  tried: Tried,
  then: (left: Versions) => Effect.Effect<void, DiskError>
): Effect.Effect<void, DiskError> => {
  const { locks } = parts
  const { key } = tried.entry
  const leave = locks.take(key)
  // A defect of it lets go of the file too.
  const concluded = Effect.suspend(() => concludeAlone(parts, tried))
  if (leave === undefined) return Effect.flatMap(locks.alone(key)(concluded), then)
  return Effect.matchCauseEffect(concluded, {
    onFailure: (cause) => {
      leave()
      return Effect.failCause(cause)
    },
    onSuccess: (left) => {
      leave()
      return then(left)
    }
  })
}

/** To be called where nobody else is at the file. */
const concludeAlone = (parts: DeliveryParts, tried: Tried): Effect.Effect<Versions, DiskError> => {
  const { clock, entry, flight, verdict } = tried
  flight.current = undefined
  const versions =
    verdict._tag === "Delivered" ? parts.spool.recent(entry.key, clock.unsafeCurrentTimeMillis()) : undefined
  const isAlone = versions?.length === 1 && versions[0]?.order === entry.order
  return isAlone ? finish(parts, tried, entry, []) : concludeAmong(parts, tried)
}

/** The same where the file may have other versions. */
const concludeAmong = (parts: DeliveryParts, tried: Tried) =>
  Effect.flatMap(parts.spool.versions(tried.entry.key), (versions) => {
    const current = versions.find(({ order }) => order === tried.entry.order)
    const others = versions.filter(({ order }) => order !== tried.entry.order)
    return current === undefined ? Effect.succeed(others) : finish(parts, tried, current, others)
  })

const finish = (
  parts: DeliveryParts,
  { entry, record, verdict }: Tried,
  current: EntryName,
  others: ReadonlyArray<EntryName>
): Effect.Effect<ReadonlyArray<EntryName>, DiskError> => {
  const isReplaced = others.some(({ order, state }) => state === "waiting" && order > entry.order)
  return AtOnce.flatMap(attemptsBefore(parts, current, record), (before) => {
    const attempts = before + 1
    const error = "message" in verdict ? { error: verdict.message } : {}
    const told = (left: ReadonlyArray<EntryName>) =>
      Effect.flatMap(tell(endOf(verdict, isReplaced), entry, record, { attempts, ...error }), () => {
        Flights.notify(parts.flights, entry, verdict)
        return Effect.succeed([...left, ...others])
      })
    return "message" in verdict && !isReplaced
      ? Effect.flatMap(note(parts, entry, verdict, attempts), (noted) => told([noted]))
      : Effect.flatMap(leave(parts, entry, isReplaced), () => told([]))
  })
}

const attemptsBefore = ({ spool }: DeliveryParts, entry: EntryName, record: Option.Option<EntryRecord>) =>
  isUntried(entry, record)
    ? Effect.succeed(0)
    : Effect.map(spool.attempts(entry), (attempts) => (Option.isSome(attempts) ? attempts.value.count : 0))

/** An entry that is due since it was accepted was never tried: of most entries no attempts have to be read. */
const isUntried = ({ time }: EntryName, record: Option.Option<EntryRecord>): boolean =>
  Option.exists(record, ({ accepted }) => accepted === time)

/** Removes an entry that is not to be tried again. */
const leave = ({ spool }: DeliveryParts, entry: EntryName, isReplaced: boolean) =>
  isReplaced
    ? Effect.andThen(removed(spool, entry, true), spool.syncReplaced(entry.key))
    : removed(spool, entry, false)

/**
 * Notes an attempt that was not the end of an entry.
 *
 * @param count of the attempts, with this one
 */
const note = (
  { spool, retry }: DeliveryParts,
  entry: EntryName,
  verdict: Extract<Verdict, { readonly message: string }>,
  count: number
) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const { message: error } = verdict
    if (verdict._tag === "Refused") {
      const attempts: Attempts = { count, at: now, error, status: Option.some(verdict.status) }
      const time = now + Duration.toMillis(refusedRetention)
      return yield* spool.change(entry, { state: "refused", time }, { attempts, durable: true })
    }
    const time = Math.ceil(now + Duration.toMillis(yield* delayAfter(retry, count)))
    const attempts: Attempts = { count, at: now, error, status: Option.none() }
    return yield* spool.change(entry, { state: "waiting", time }, { attempts, durable: false })
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
