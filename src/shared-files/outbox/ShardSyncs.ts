/** What was removed from the outbox's shards, and may come back behind a stop until their folders are synced. */
import { Effect } from "effect"
import type { DiskError, DiskService } from "../../disk/Disk.ts"
import { shardOf } from "./EntryName.ts"
import * as InheritedShards from "./InheritedShards.ts"

/** What syncs shards. */
export interface ShardSyncs {
  readonly disk: DiskService
  /** The folder of a shard. */
  readonly pathOf: (shard: number) => string
  /** Shards from which a version was replaced, where that may not be on the disk yet; for each a mark of its last one. */
  readonly replaced: Map<number, object>
  /** Shards from which the process before this one may have replaced a version, and the sync of them that is under way. */
  readonly inherited: InheritedShards.InheritedShards
}

/** Nothing was removed yet. */
export const make = (disk: DiskService, pathOf: ShardSyncs["pathOf"]): ShardSyncs => ({
  disk,
  pathOf,
  replaced: new Map(),
  inherited: new Map()
})

/** A version of this file is about to be replaced. */
export const replacing = ({ replaced }: ShardSyncs, key: string): void => {
  replaced.set(shardOf(key), {})
}

/** The process before this one has left this shard. */
export const inherit = ({ inherited }: ShardSyncs, shard: number): void => {
  inherited.set(shard, undefined)
}

/** Whether `syncReplaced` has something to do. */
export const mayComeBack = ({ inherited, replaced }: ShardSyncs, key: string): boolean => {
  const shard = shardOf(key)
  return inherited.has(shard) || replaced.has(shard)
}

/** What was removed from a file's shard does not come back. */
export const sync = ({ disk, pathOf, replaced }: ShardSyncs, key: string): Effect.Effect<void, DiskError> =>
  Effect.suspend(() => {
    const shard = shardOf(key)
    const last = replaced.get(shard)
    return Effect.map(disk.syncFolder(pathOf(shard)), () => {
      // Another version may have been replaced while this was under way.
      if (replaced.get(shard) === last) replaced.delete(shard)
    })
  })

/** The same, and nothing to do where no version in that shard was replaced since the last time. */
export const syncReplaced = (syncs: ShardSyncs, key: string): Effect.Effect<void, DiskError> =>
  Effect.suspend(() => {
    const { disk, pathOf, inherited, replaced } = syncs
    const shard = shardOf(key)
    if (!inherited.has(shard)) return replaced.has(shard) ? sync(syncs, key) : Effect.void
    const syncing: InheritedShards.Syncing = {
      sync: (shards) => disk.sequence(shards.map((each) => ({ _tag: "SyncFolder", path: pathOf(each) }))),
      failed: (each) => void replaced.set(each, {})
    }
    return Effect.andThen(
      InheritedShards.sync(inherited, shard, syncing),
      Effect.suspend(() => (replaced.has(shard) ? sync(syncs, key) : Effect.void))
    )
  })
