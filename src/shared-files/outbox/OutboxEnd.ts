/** What becomes of entries, told to the log and counted. */
import { Effect, LogLevel, Option } from "effect"
import * as Counters from "../../Counters.ts"
import type { DiskError } from "../../disk/Disk.ts"
import * as LogLine from "../../LogLine.ts"
import { fieldsOf } from "../file/FileId.ts"
import { type EntryName, idOf } from "./EntryName.ts"
import type { EntryRecord } from "./EntryRecord.ts"
import type { Spool } from "./Spool.ts"

/** All that may be told of an entry. */
export const ends = [
  "delivered",
  "stored",
  "refused",
  "deferred",
  "expired",
  "replaced",
  "damaged",
  "deleted",
  "evicted"
] as const

/** What is told of an entry. `deferred` is no end: the entry waits on. */
export type OutboxEnd = (typeof ends)[number]

/** How often entries were delivered, stored here, refused, deferred, …: by the label `outcome`. */
export const count = Counters.family(
  "outbox_deliveries_total",
  "What became of files that wait for the policy server",
  "outcome",
  ends
)

const message: Record<OutboxEnd, string> = {
  delivered: "a shared file was delivered to the policy server",
  stored: "a shared file that waited was stored: its target is below this relay now",
  refused: "the policy server refuses a shared file",
  deferred: "a shared file could not be delivered, and will be tried again",
  expired: "a shared file expired before it could be delivered",
  replaced: "a shared file was replaced by a newer version before it was delivered",
  damaged: "a shared file that waited is not whole on the disk",
  deleted: "a shared file was deleted from the outbox",
  evicted: "a refused shared file was removed from the outbox"
}

const worrying: ReadonlySet<OutboxEnd> = new Set(["refused", "deferred", "expired", "damaged"])

/**
 * Logs and counts what became of an entry.
 *
 * @param record names the file, where it can be read
 * @param details annotations of the log's line besides
 */
export const tell = (
  end: OutboxEnd,
  entry: EntryName,
  record: Option.Option<EntryRecord>,
  details: Record<string, unknown> = {}
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const name = Option.isSome(record) ? fieldsOf(record.value.name) : {}
    const fields = { entry: idOf(entry), ...name, size: entry.size, ...details }
    const level = worrying.has(end) ? LogLevel.Warning : LogLevel.Info
    count(end)
    return LogLine.write(level, message[end], fields)
  })

/** Removes an entry that nobody sends, and tells why. */
export const drop = (spool: Spool, entry: EntryName, end: OutboxEnd): Effect.Effect<void, DiskError> =>
  Effect.gen(function* () {
    const record = Option.flatten(yield* Effect.option(spool.record(entry)))
    yield* spool.remove(entry, { replaced: end === "replaced" })
    yield* tell(end, entry, record)
  }).pipe(Effect.uninterruptible)
