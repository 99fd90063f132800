import { describe, expect, it } from "@effect/vitest"
import type { EntryName } from "../../../src/shared-files/outbox/EntryName.ts"
import * as RecentShards from "../../../src/shared-files/outbox/RecentShards.ts"

const entry = (shard: number, order: number): EntryName => ({
  key: shard.toString(16).padStart(3, "0").padEnd(32, "0"),
  order: order.toString(16).padStart(16, "0"),
  size: 1,
  state: "waiting",
  time: 0
})

const ordersOf = (recent: RecentShards.RecentShards, shard: number, now: number) => {
  const entries = RecentShards.entriesOf(recent, shard, now)
  return entries === undefined ? undefined : Array.from(entries, ({ order }) => Number.parseInt(order, 16))
}

describe("a shard that was read", () => {
  it("has what it had then, with what came and went since", () => {
    const recent: RecentShards.RecentShards = new Map()
    RecentShards.add(recent, entry(7, 1))
    expect(ordersOf(recent, 7, 0)).toBeUndefined()
    RecentShards.read(recent, 7, [entry(7, 1), entry(7, 2)], 0)
    RecentShards.add(recent, entry(7, 3))
    // The look may have found it already.
    RecentShards.add(recent, entry(7, 2))
    RecentShards.remove(recent, entry(7, 1))
    expect(ordersOf(recent, 7, 999)).toEqual([2, 3])
    expect(ordersOf(recent, 8, 999)).toBeUndefined()
  })

  it("is read again after a second, and where the clock was set back", () => {
    const recent: RecentShards.RecentShards = new Map()
    RecentShards.read(recent, 7, [entry(7, 1)], 10_000)
    expect(ordersOf(recent, 7, 10_999)).toEqual([1])
    expect(ordersOf(recent, 7, 11_000)).toBeUndefined()
    expect(ordersOf(recent, 7, 9_000)).toBeUndefined()
  })

  it("is read again where it is not known what the disk has done", () => {
    const recent: RecentShards.RecentShards = new Map()
    RecentShards.read(recent, 7, [entry(7, 1)], 0)
    RecentShards.forget(recent, 7)
    expect(ordersOf(recent, 7, 0)).toBeUndefined()
  })

  it("is one of a few that are held, the last ones", () => {
    const recent: RecentShards.RecentShards = new Map()
    for (let shard = 0; shard < 4096; shard++) RecentShards.read(recent, shard, [entry(shard, 1)], 0)
    expect(recent.size).toBeLessThan(100)
    expect(ordersOf(recent, 4095, 0)).toEqual([1])
    expect(ordersOf(recent, 0, 0)).toBeUndefined()
  })
})
