/** The entries of the outbox, as they are shown. */
import { Clock, Effect, Option } from "effect"
import type { DiskError } from "../../disk/Disk.ts"
import * as EntryName from "./EntryName.ts"
import * as EntryWalk from "./EntryWalk.ts"
import type { OutboxEntry, OutboxPage } from "./OutboxEntry.ts"
import type { OutboxParts } from "./OutboxParts.ts"

type Parts = Pick<OutboxParts, "spool" | "gate" | "locks" | "deliveries">

/**
 * So many entries, newest first.
 *
 * @param before an entry's id: what is newer, and that entry, is left out
 */
export const list = (
  parts: Parts,
  limit: number,
  before: Option.Option<string>
): Effect.Effect<OutboxPage, DiskError> =>
  Effect.gen(function* () {
    const found = yield* EntryWalk.first(parts.spool, limit + 1, {
      wanted: (entry) =>
        Option.match(before, { onNone: () => true, onSome: (id) => EntryName.idOf(entry) < id }),
      order: EntryName.byAge
    })
    const shown = found.slice(0, limit)
    const last = shown.at(-1)
    return {
      entries: (yield* Effect.forEach(shown, (entry) => describe(parts, entry))).flat(),
      next: found.length > limit && last !== undefined ? EntryName.idOf(last) : null
    }
  })

/** An entry as it is shown; none where it is gone meanwhile, or can't be read, which is in the log. */
const describe = ({ spool, gate, locks, deliveries }: Parts, { key, order }: EntryName.EntryName) =>
  Effect.gen(function* () {
    const entry = (yield* spool.versions(key)).find((version) => version.order === order)
    const record = entry === undefined ? Option.none() : yield* spool.record(entry)
    if (entry === undefined || Option.isNone(record)) return []
    const attempts = Option.getOrUndefined(yield* spool.attempts(entry))
    const now = yield* Clock.currentTimeMillis
    const { pause } = yield* gate.status
    const { name, accepted } = record.value
    const state = deliveries.isSending(entry) ? ("sending" as const) : entry.state
    const shown: OutboxEntry = {
      id: EntryName.idOf(entry),
      target: name.target,
      source: name.source,
      file_id: name.fileId,
      state,
      accepted: iso(accepted),
      age: Math.max(0, Math.round((now - accepted) / 1000)),
      size: entry.size,
      attempts: attempts?.count ?? 0,
      last_error: attempts?.error ?? null,
      next_try: state === "waiting" ? iso(Math.max(entry.time, now + Math.ceil(pause))) : null
    }
    return [shown]
  }).pipe(
    Effect.catchAll(({ message }) =>
      Effect.logWarning("an entry of the outbox can't be read").pipe(
        Effect.annotateLogs({ entry: key, error: message }),
        Effect.as([])
      )
    ),
    locks.alone(key)
  )

const iso = (millis: number): string => new Date(millis).toISOString()
