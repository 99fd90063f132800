/**
 * Which entries shards had when they were read a moment ago, with what this process has done to them since. A delivery asks
 * for its file's versions before it sends one and behind that, and to read a folder each time costs a tenth of a delivery.
 */
import { type EntryName, print, shardOf } from "./EntryName.ts"

interface Recent {
  /** When the folder was read. Milliseconds since 1970. */
  readonly at: number
  /** By their names. */
  readonly entries: Map<string, EntryName>
}

/** By the shards. */
export type RecentShards = Map<number, Recent>

/** Somebody else may remove entries, or put some there: what was read is taken for true no longer. Milliseconds. */
const trustedFor = 1000

/** More than those whose files are sent at once. */
const mostShards = 32

/** The folder of a shard was read now. */
export const read = (
  recent: RecentShards,
  shard: number,
  entries: ReadonlyArray<EntryName>,
  now: number
): void => {
  recent.delete(shard)
  recent.set(shard, { at: now, entries: new Map(entries.map((entry) => [print(entry), entry])) })
  if (recent.size > mostShards) for (const oldest of recent.keys()) return void recent.delete(oldest)
}

/** What is in a shard; undefined: its folder has to be read. */
export const entriesOf = (
  recent: RecentShards,
  shard: number,
  now: number
): Iterable<EntryName> | undefined => {
  const found = recent.get(shard)
  return found !== undefined && Math.abs(now - found.at) < trustedFor ? found.entries.values() : undefined
}

/** This process has put an entry there. */
export const add = (recent: RecentShards, entry: EntryName): void => {
  recent.get(shardOf(entry.key))?.entries.set(print(entry), entry)
}

/** This process has removed an entry. */
export const remove = (recent: RecentShards, entry: EntryName): void => {
  recent.get(shardOf(entry.key))?.entries.delete(print(entry))
}

/** What the disk has done in a shard is not known. */
export const forget = (recent: RecentShards, shard: number): void => {
  recent.delete(shard)
}
