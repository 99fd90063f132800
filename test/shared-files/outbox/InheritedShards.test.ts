import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { DiskError } from "../../../src/disk/Disk.ts"
import * as InheritedShards from "../../../src/shared-files/outbox/InheritedShards.ts"

const inheriting = (count: number): InheritedShards.InheritedShards =>
  new Map(Array.from({ length: count }, (_, shard) => [shard, undefined]))

describe("shards that the process before has left", () => {
  it.effect("are synced once each, many in one order", () =>
    Effect.gen(function* () {
      const orders: Array<ReadonlyArray<number>> = []
      const inherited = inheriting(200)
      const syncing = {
        sync: (shards: ReadonlyArray<number>) => Effect.sync(() => void orders.push(shards)),
        failed: () => {}
      }
      for (let shard = 0; shard < 200; shard++)
        if (inherited.has(shard)) yield* InheritedShards.sync(inherited, shard, syncing)
      expect(orders.flat().sort((one, other) => one - other)).toEqual(
        Array.from({ length: 200 }, (_, shard) => shard)
      )
      expect(orders.length).toBeLessThan(10)
      expect(inherited.size).toBe(0)
    })
  )

  it.effect("are waited for by all who need one of them", () =>
    Effect.gen(function* () {
      let orders = 0
      const inherited = inheriting(2)
      const disk = yield* Deferred.make<void>()
      const syncing = {
        sync: () =>
          Effect.andThen(
            Effect.sync(() => orders++),
            Deferred.await(disk)
          ),
        failed: () => {}
      }
      const waiting = yield* Effect.fork(
        Effect.forEach([0, 1, 1], (shard) => InheritedShards.sync(inherited, shard, syncing), {
          concurrency: "unbounded"
        })
      )
      for (let turn = 0; turn < 100; turn++) yield* Effect.yieldNow()
      expect(waiting.unsafePoll()).toBeNull()
      yield* Deferred.succeed(disk, undefined)
      yield* Fiber.join(waiting)
      expect(orders).toBe(1)
    })
  )

  it.effect("that could not be synced together are found out one by one", () =>
    Effect.gen(function* () {
      const failed: Array<number> = []
      const inherited = inheriting(3)
      yield* InheritedShards.sync(inherited, 1, {
        sync: () => new DiskError({ message: "no such folder", code: "ENOENT" }),
        failed: (shard) => void failed.push(shard)
      })
      expect(failed.sort()).toEqual([0, 1, 2])
      expect(inherited.size).toBe(0)
    })
  )
})
