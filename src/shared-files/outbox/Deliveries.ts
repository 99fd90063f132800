/**
 * Which entry is tried when: one at a time for each file, several files at once, each when it is due and the policy
 * server is worth trying.
 */
import { Cause, Clock, Duration, Effect, Option, type Scope } from "effect"
import type { DiskError } from "../../disk/Disk.ts"
import type { FileLocks } from "../../disk/FileLocks.ts"
import * as FiberClock from "../../FiberClock.ts"
import * as Span from "../../Span.ts"
import type { Attempt } from "./Attempt.ts"
import * as Crew from "./Crew.ts"
import { type DeliveryParts, deliver } from "./Delivery.ts"
import * as DueFiles from "./DueFiles.ts"
import * as EntryName from "./EntryName.ts"
import * as Flights from "./Flights.ts"
import { drop } from "./OutboxEnd.ts"
import type { RetrySettings } from "./RetrySchedule.ts"
import type { Spool } from "./Spool.ts"
import type { Permit, UpstreamGate } from "./UpstreamGate.ts"

type Entry = EntryName.EntryName

/** Has entries sent when it is time. */
export interface Deliveries {
  /** A file is to be looked at in so many milliseconds, or sooner. */
  readonly due: (key: string, inMillis: number) => Effect.Effect<void>
  /** A file is to be looked at now. */
  readonly dueNow: (key: string) => void
  /** All are to be looked at now. */
  readonly allDue: Effect.Effect<void>
  /** Tries a file as soon as something may be sent; returns when that has begun. */
  readonly start: (key: string) => Effect.Effect<void>
  /** Tries what is due, without end. */
  readonly run: Effect.Effect<never>
  /** Whether this very version is being sent. */
  readonly isSending: (entry: Entry) => boolean
  /** What becomes of an entry next, from now on. */
  readonly listen: (entry: Entry) => Effect.Effect<Effect.Effect<Flights.Notice>>
  /** Nobody waits for it any more. */
  readonly unlisten: (entry: Entry) => Effect.Effect<void>
  /** The entry is no longer there: who waits for it learns why, and its sending, if it is being sent, stops. */
  readonly ended: (entry: Entry, notice: Flights.Notice) => Effect.Effect<void>
}

/** What deliveries use. */
export interface DeliveriesOptions {
  readonly spool: Spool
  readonly gate: UpstreamGate
  readonly locks: FileLocks
  readonly retry: RetrySettings
  readonly attempt: Attempt
  /** Of the daemon: what is under way ends with it. */
  readonly scope: Scope.Scope
}

interface Parts extends DeliveryParts, Pick<DeliveriesOptions, "gate" | "scope"> {
  readonly crew: Crew.Crew
}

/** Deliveries of what is in the spool; nothing is tried before it is due or started. */
export const make = (options: DeliveriesOptions): Deliveries => {
  const flights = Flights.make()
  const files = DueFiles.make(options.retry.max)
  const parts: Parts = { ...options, flights, files, crew: [] }
  return {
    due: (key, inMillis) => DueFiles.due(files, key, inMillis),
    dueNow: (key) => DueFiles.dueNow(files, [EntryName.shardOf(key)]),
    allDue: Effect.sync(() => DueFiles.dueNow(files, options.spool.shards())),
    start: (key) => Effect.asVoid(start(parts, key)),
    run: Effect.forever(look(parts)),
    isSending: (entry) => Flights.isSending(flights, entry),
    listen: (entry) => Flights.listen(flights, entry),
    unlisten: (entry) => Flights.unlisten(flights, entry),
    ended: (entry, notice) => Flights.ended(flights, entry, notice)
  }
}

/**
 * In a fiber of its own: who starts it has a span, and it belongs there. The gate can be left while one waits there, and
 * nowhere behind it: whoever has its permit gives that back.
 */
const start = (parts: Parts, key: string) =>
  Effect.uninterruptible(
    Effect.flatMap(parts.gate.enter, (permit) =>
      launch(parts, key, permit, (flying) => Effect.forkIn(flying, parts.scope))
    )
  )

/** Has a file delivered, unless that is under way already. */
const launch = (
  parts: Parts,
  key: string,
  permit: Permit,
  have: (flying: Effect.Effect<unknown>) => Effect.Effect<unknown>
): Effect.Effect<unknown> => {
  const { flights } = parts
  const other = flights.files.get(key)
  if (other !== undefined) {
    other.missed = true
    permit.release()
    return Effect.void
  }
  const flight = Flights.begin(flights, key)
  const end = () => {
    Flights.end(flights, key, flight)
    permit.release()
    return flight.missed ? DueFiles.due(parts.files, key, 0) : Effect.void
  }
  const flying = Effect.matchCauseEffect(deliver(parts, key, flight, permit), {
    onSuccess: end,
    onFailure: (cause) => Effect.ensuring(afterFailure(parts, key, cause), Effect.suspend(end))
  })
  return have(inSpan(flying, () => ({ file: key })))
}

const inSpan = Span.around("Outbox.deliver")

/** Where the disk fails, the entry is as it was, and tried again. A defect concerns one file, and ends no other's delivery. */
const afterFailure = (parts: Parts, key: string, cause: Cause.Cause<DiskError>) => {
  const error = Option.getOrUndefined(Cause.failureOption(cause))
  if (error !== undefined) return afterDiskFailure(parts, key, error)
  return Cause.isInterruptedOnly(cause) ? Effect.void : afterDefect(parts, key, Cause.squash(cause))
}

const afterDiskFailure = (parts: Parts, key: string, error: DiskError) =>
  Effect.logError("the outbox can't be read or written").pipe(
    Effect.annotateLogs({ file: key, error: error.message }),
    Effect.andThen(tryLater(parts, key))
  )

const afterDefect = (parts: Parts, key: string, defect: unknown) =>
  Effect.logError("a delivery failed by a defect").pipe(
    Effect.annotateLogs({ file: key, defect: String(defect) }),
    Effect.andThen(tryLater(parts, key))
  )

const tryLater = ({ files, retry }: Parts, key: string) =>
  DueFiles.due(files, key, Duration.toMillis(retry.max))

/** Looks at the files of a shard that is due, or waits until one may be. */
const look = (parts: Parts) =>
  Effect.flatMap(DueFiles.next(parts.files), (shard) =>
    shard === undefined ? Effect.void : visit(parts, shard)
  )

const visit = (parts: Parts, shard: number) =>
  Effect.withFiberRuntime<void, DiskError>((fiber) =>
    Effect.flatMap(parts.spool.shard(shard), (entries) =>
      seeTo(parts, entries[Symbol.iterator](), FiberClock.of(fiber))
    )
  ).pipe(
    Effect.catchTag("DiskError", (error) => afterDiskFailure(parts, EntryName.printShard(shard), error)),
    // Between a permit and whoever gives it back nothing may come.
    Effect.uninterruptible
  )

/** Sees to one after the other. */
const seeTo = (parts: Parts, left: Iterator<Entry>, clock: Clock.Clock): Effect.Effect<void, DiskError> => {
  for (let next = left.next(); next.done !== true; next = left.next()) {
    const seen = see(parts, next.value, clock)
    if (seen !== undefined) return Effect.flatMap(seen, () => seeTo(parts, left, clock))
  }
  return Effect.void
}

/** What is to be done with an entry now; undefined: nothing has to be waited for. */
const see = (
  parts: Parts,
  entry: Entry,
  clock: Clock.Clock
): Effect.Effect<unknown, DiskError> | undefined => {
  const { files, flights, gate } = parts
  const { key, state } = entry
  const rest = DueFiles.restOf(files, entry, clock.unsafeCurrentTimeMillis())
  if (rest > 0) return DueFiles.due(files, key, rest)
  if (state === "refused") return Effect.interruptible(dropOld(parts, entry))
  const flight = flights.files.get(key)
  if (flight === undefined) return Effect.flatMap(gate.enter, (permit) => assign(parts, key, permit))
  flight.missed = true
  return undefined
}

const assign = (parts: Parts, key: string, permit: Permit) =>
  launch(parts, key, permit, (flying) => Crew.give(parts.crew, flying, parts.scope))

/** Removes the refused versions of an entry's file that are kept no longer. */
const dropOld = ({ spool, locks }: Parts, { key }: Entry) =>
  Effect.gen(function* () {
    const versions = yield* spool.versions(key)
    const now = yield* Clock.currentTimeMillis
    for (const version of versions)
      if (version.state === "refused" && version.time <= now) yield* drop(spool, version, "evicted")
  }).pipe(locks.alone(key))
