import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { shardCount } from "../../../src/shared-files/outbox/EntryName.ts"
import { Timetable } from "../../../src/shared-files/outbox/Timetable.ts"

const plans = FastCheck.array(
  FastCheck.record({ shard: FastCheck.nat(shardCount - 1), time: FastCheck.nat(1000) })
)

/** The earliest time of each shard. */
const earliest = (plan: ReadonlyArray<{ readonly shard: number; readonly time: number }>) => {
  const times = new Map<number, number>()
  for (const { shard, time } of plan) times.set(shard, Math.min(times.get(shard) ?? time, time))
  return times
}

/** All that are due. */
const takeAll = (timetable: Timetable, now: number) => {
  const shards: Array<number> = []
  while (true) {
    const next = timetable.take(now)
    if ("wait" in next) return { shards, wait: next.wait }
    shards.push(next.shard)
  }
}

describe("a timetable", () => {
  it.prop(
    "gives each shard once, when the earliest of its times has come, and says how long to wait for the next",
    [plans, FastCheck.nat(1000)],
    ([plan, now]) => {
      const timetable = new Timetable()
      for (const { shard, time } of plan) timetable.add(shard, time)
      const times = [...earliest(plan)]
      const { shards, wait } = takeAll(timetable, now)
      const later = times.flatMap(([, time]) => (time > now ? [time - now] : []))
      expect(shards.sort()).toEqual(times.flatMap(([shard, time]) => (time <= now ? [shard] : [])).sort())
      expect(wait).toBe(Math.min(Number.POSITIVE_INFINITY, ...later))
      expect(takeAll(timetable, 1000).shards).toHaveLength(later.length)
    }
  )

  it("lets all others have their turn before one that is due again and again", () => {
    const timetable = new Timetable()
    for (const shard of [0, 7, 4095]) timetable.add(shard, 0)
    const turns: Array<number> = []
    for (let turn = 0; turn < 6; turn++) {
      const next = timetable.take(0)
      if ("wait" in next) throw new Error("none is due")
      turns.push(next.shard)
      timetable.add(next.shard, 0)
    }
    expect(turns).toEqual([0, 7, 4095, 0, 7, 4095])
  })

  it("takes as much memory for a million times as for one", () => {
    const timetable = new Timetable()
    const held = () =>
      Object.values(timetable).flatMap((part) => (ArrayBuffer.isView(part) ? part.byteLength : []))
    const before = held()
    for (let count = 0; count < 1_000_000; count++) timetable.add(count % shardCount, count)
    expect(held()).toEqual(before)
    expect(before).toEqual([8 * shardCount])
  })
})
