import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { DiskError } from "../../src/disk/Disk.ts"
import * as GroupSync from "../../src/disk/GroupSync.ts"

/** Syncs that end when a test says so. */
const syncs = () => {
  const underWay: Array<{
    readonly path: string
    readonly end: (outcome: Effect.Effect<void, DiskError>) => void
  }> = []
  const sync = GroupSync.make((path, end) => underWay.push({ path, end }))
  const asked = (path: string) => Effect.fork(sync(path))
  return { underWay, asked }
}

describe("the sync of a folder", () => {
  it.effect("is one for all who wait for it; who comes while it is under way waits for the next", () =>
    Effect.gen(function* () {
      const { underWay, asked } = syncs()
      const first = yield* asked("/a")
      const later = [yield* asked("/a"), yield* asked("/a")]
      const other = yield* asked("/b")
      yield* Effect.yieldNow()
      expect(underWay.map(({ path }) => path)).toEqual(["/a", "/b"])
      underWay[0]?.end(Effect.void)
      yield* Fiber.join(first)
      expect(underWay.map(({ path }) => path)).toEqual(["/a", "/b", "/a"])
      expect(later.map((fiber) => fiber.unsafePoll())).toEqual([null, null])
      underWay[1]?.end(Effect.void)
      underWay[2]?.end(Effect.void)
      yield* Fiber.joinAll([...later, other])
      const again = yield* asked("/a")
      yield* Effect.yieldNow()
      expect(underWay).toHaveLength(4)
      yield* Fiber.interrupt(again)
    })
  )

  it.effect("fails for all who waited for it, and goes on without who leaves", () =>
    Effect.gen(function* () {
      const { underWay, asked } = syncs()
      const first = yield* asked("/a")
      const [second, third] = [yield* asked("/a"), yield* asked("/a")]
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(first)
      yield* Fiber.interrupt(second)
      underWay[0]?.end(Effect.void)
      underWay[1]?.end(new DiskError({ message: "EIO", code: "EIO" }))
      expect(yield* Effect.flip(Fiber.join(third))).toMatchObject({ code: "EIO" })
    })
  )
})
