/**
 * Of which files there may be entries: where it is known that there are none, the folder of a shard need not be read, and
 * most uploads are of files that have none. For each shard a bit for each of 256 kinds of keys (a Bloom filter of one hash),
 * 128 KiB in all: where 100,000 entries wait, one in ten is looked for in vain.
 */
import { digits, shardCount, shardOf } from "./EntryName.ts"

const kinds = 256
const wordBits = 32
const words = kinds / wordBits

/** A bit for each shard and kind of key. */
export type SeenKeys = Uint32Array

/** No entry was seen. */
export const make = (): SeenKeys => new Uint32Array(shardCount * words)

/** A key is the hex of a hash, whose first digits say the shard: the next two are the kind. */
const kindOf = (key: string): number => digits(key, 3, 2)

const wordOf = (key: string, kind: number): number => shardOf(key) * words + Math.floor(kind / wordBits)

/** There is, or was, an entry of this file. */
export const add = (seen: SeenKeys, key: string): void => {
  const kind = kindOf(key)
  const at = wordOf(key, kind)
  seen[at] = (seen[at] ?? 0) | (1 << (kind % wordBits))
}

/** Whether there may be an entry of this file; false: there is none. */
export const mayHave = (seen: SeenKeys, key: string): boolean => {
  const kind = kindOf(key)
  return ((seen[wordOf(key, kind)] ?? 0) & (1 << (kind % wordBits))) !== 0
}

/** Nothing is in this shard. */
export const clear = (seen: SeenKeys, shard: number): void => {
  seen.fill(0, shard * words, (shard + 1) * words)
}
