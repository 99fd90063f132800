/** How long the entry that waits longest has waited, without going through all entries each time. */
import { Clock, Effect, Option } from "effect"
import type { DiskError } from "../../disk/Disk.ts"
import * as EntryName from "./EntryName.ts"
import * as EntryWalk from "./EntryWalk.ts"
import type { Spool } from "./Spool.ts"

/** To go through 100,000 entries costs some hundred milliseconds of a processor. Milliseconds. */
const betweenWalks = 30_000

interface Found {
  readonly entry: Option.Option<EntryName.EntryName>
  readonly at: number
}

const oldestFirst = (one: EntryName.EntryName, other: EntryName.EntryName): number =>
  EntryName.byAge(other, one)

const isThere = (spool: Spool, { key, order }: EntryName.EntryName) =>
  Effect.map(spool.versions(key), (versions) =>
    versions.some((version) => version.order === order && version.state === "waiting")
  )

/**
 * When the entry that waits longest was accepted: milliseconds since 1970; none where nothing waits. While entries leave
 * it may be half a minute behind.
 */
export const make = (spool: Spool): Effect.Effect<Option.Option<number>, DiskError> => {
  let last: Found = { entry: Option.none(), at: Number.NEGATIVE_INFINITY }
  const find = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const isKnown = Option.isSome(last.entry) && (yield* isThere(spool, last.entry.value))
    if (!isKnown && Math.abs(now - last.at) >= betweenWalks) {
      const wanted = ({ state }: EntryName.EntryName) => state === "waiting"
      const [entry] = yield* EntryWalk.first(spool, 1, { wanted, order: oldestFirst })
      last = { entry: Option.fromNullable(entry), at: now }
    }
    return Option.map(last.entry, EntryName.acceptedAt)
  })
  return Effect.suspend(() => (spool.amounts().waiting.entries === 0 ? Effect.succeed(Option.none()) : find))
}
