/** Going through all entries, a shard at a time, so that only those which are wanted are held in memory. */
import { Effect } from "effect"
import type { DiskError } from "../../disk/Disk.ts"
import type { EntryName } from "./EntryName.ts"
import type { Spool } from "./Spool.ts"

/** The first `count` of the entries that are wanted, in an order. */
export const first = (
  spool: Spool,
  count: number,
  options: {
    readonly wanted: (entry: EntryName) => boolean
    readonly order: (one: EntryName, other: EntryName) => number
  }
): Effect.Effect<ReadonlyArray<EntryName>, DiskError> =>
  Effect.gen(function* () {
    let kept: Array<EntryName> = []
    for (const shard of spool.shards()) {
      kept.push(...(yield* spool.shard(shard)).filter(options.wanted))
      if (kept.length > 4 * count) kept = kept.sort(options.order).slice(0, count)
    }
    return kept.sort(options.order).slice(0, count)
  })
