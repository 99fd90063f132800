/** When which files are to be looked at. Of what waits, only the next time of each shard is held in memory. */
import { Clock, Duration, Effect } from "effect"
import * as FiberClock from "../../FiberClock.ts"
import * as EntryName from "./EntryName.ts"
import { Timetable } from "./Timetable.ts"

/** What is due, and what wakes the one who waits for it. */
export interface DueFiles {
  readonly timetable: Timetable
  /** Open where something may be due earlier than was known. */
  readonly wake: Effect.Latch
  /** No entry that waits is tried later than this after its last attempt. Milliseconds. */
  readonly longestDelay: number
}

/** What was refused and is due only later than this is looked at all the same: the clock may be set. Milliseconds. */
const longestRest = 3_600_000

/** By a clock that is never set. Milliseconds. */

/** Earlier than any time of that clock's: what is due now is due whatever the time. */
const longSince = Number.NEGATIVE_INFINITY

/** Nothing is due yet. */
export const make = (longestDelay: Duration.Duration): DueFiles => ({
  timetable: new Timetable(),
  wake: Effect.unsafeMakeLatch(false),
  longestDelay: Math.ceil(Duration.toMillis(longestDelay))
})

/** The files of these shards are to be looked at now. */
export const dueNow = ({ timetable, wake }: DueFiles, shards: ReadonlyArray<number>): void => {
  for (const shard of shards) timetable.add(shard, longSince)
  wake.unsafeOpen()
}

/** A file is to be looked at in so many milliseconds, or sooner. */
export const due = ({ timetable, wake }: DueFiles, key: string, inMillis: number): Effect.Effect<void> =>
  Effect.map(FiberClock.monotonic, (now) => {
    timetable.add(EntryName.shardOf(key), now + Math.max(0, inMillis))
    wake.unsafeOpen()
  })

/**
 * In how many milliseconds an entry is to be looked at; 0: it is due.
 *
 * @param now milliseconds since 1970
 */
export const restOf = (
  { longestDelay }: DueFiles,
  { state, time }: EntryName.EntryName,
  now: number
): number => {
  const rest = Math.max(0, time - now)
  if (state === "refused") return Math.min(rest, longestRest)
  // What is further away than any delay was noted before the clock was set back.
  return rest > longestDelay ? 0 : rest
}

/** The files of these entries are to be looked at when the entries say so. */
export const dueByName = (
  files: DueFiles,
  entries: ReadonlyArray<EntryName.EntryName>
): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.forEach(entries, (entry) => due(files, entry.key, restOf(files, entry, now)), { discard: true })
  )

/** A shard that is due; undefined where none was, behind a wait until one may be. */
export const next = ({ timetable, wake }: DueFiles): Effect.Effect<number | undefined> =>
  Effect.flatMap(FiberClock.monotonic, (now) => {
    wake.unsafeClose()
    const found = timetable.take(now)
    if ("shard" in found) return Effect.succeed(found.shard)
    const woken = Number.isFinite(found.wait) ? Effect.timeoutOption(wake.await, found.wait) : wake.await
    return Effect.as(woken, undefined)
  })
