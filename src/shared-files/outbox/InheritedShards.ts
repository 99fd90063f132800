/**
 * Shards that the process before this one has left. What it replaced there may not be on the disk, so each is synced before
 * something of it is sent: many in one order, since nearly all are on the disk, and to ask for each costs as much as a sending.
 */
import { Deferred, Effect, FiberId } from "effect"
import type { DiskError } from "../../disk/Disk.ts"
import { shardCount } from "./EntryName.ts"

/** Those that are not synced yet, each with the sync that is under way. */
export type InheritedShards = Map<number, Effect.Effect<void> | undefined>

/** What a sync does. */
export interface Syncing {
  /** Syncs the folders of all of these. */
  readonly sync: (shards: ReadonlyArray<number>) => Effect.Effect<void, DiskError>
  /** That was no success: of each of the shards it is to be found out by itself. */
  readonly failed: (shard: number) => void
}

/** So many are synced at once: the first who waits does not wait long. */
const atOnce = 64

/** Returns when a shard, and those that come next with it, are synced, or could not be. */
export const sync = (inherited: InheritedShards, shard: number, syncing: Syncing): Effect.Effect<void> =>
  Effect.suspend(() =>
    inherited.has(shard) ? (inherited.get(shard) ?? begin(inherited, shard, syncing)) : Effect.void
  )

const begin = (inherited: InheritedShards, shard: number, { sync, failed }: Syncing) => {
  const shards = nextOf(inherited, shard)
  const ended = Deferred.unsafeMake<void>(FiberId.none)
  for (const each of shards) inherited.set(each, Deferred.await(ended))
  const end = Effect.sync(() => {
    for (const each of shards) inherited.delete(each)
    Deferred.unsafeDone(ended, Effect.void)
  })
  return sync(shards).pipe(
    Effect.catchAll(() => Effect.sync(() => shards.forEach(failed))),
    Effect.ensuring(end),
    Effect.uninterruptible
  )
}

/** The shard, and those behind it that nobody syncs: in this order their files are looked at. */
const nextOf = (inherited: InheritedShards, shard: number): ReadonlyArray<number> => {
  const found: Array<number> = []
  for (let step = 0; step < shardCount && found.length < atOnce; step++) {
    const next = (shard + step) % shardCount
    if (inherited.has(next) && inherited.get(next) === undefined) found.push(next)
  }
  return found
}
