import { describe, expect, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import * as FreeSpace from "../../src/disk/FreeSpace.ts"

const mebibyte = 1024 * 1024

const watched = () => {
  const disk = { free: 1000 * mebibyte, looks: 0 }
  const space = FreeSpace.make(
    Effect.sync(() => {
      disk.looks++
      return disk.free
    })
  )
  return { disk, space }
}

describe("what is free on a disk", () => {
  it.effect("is asked once a moment where there is much, and counts what was asked for since", () =>
    Effect.gen(function* () {
      const { disk, space } = watched()
      expect(yield* space.beside(4096, mebibyte)).toBe(1000 * mebibyte)
      disk.free = 0
      expect(yield* space.beside(4096, mebibyte)).toBe(1000 * mebibyte - 4096)
      expect(yield* space.beside(0, mebibyte)).toBe(1000 * mebibyte - 2 * 4096)
      expect(disk.looks).toBe(1)
      yield* TestClock.adjust("1 second")
      expect(yield* space.beside(4096, mebibyte)).toBe(0)
    })
  )

  it.effect(
    "is asked each time where there is little, for what is large, and once it is to be forgotten",
    () =>
      Effect.gen(function* () {
        const { disk, space } = watched()
        yield* space.beside(0, 800 * mebibyte)
        yield* space.beside(0, 800 * mebibyte)
        expect(disk.looks).toBe(2)
        yield* space.beside(2 * mebibyte, 0)
        expect(disk.looks).toBe(3)
        space.forget()
        yield* space.beside(0, 0)
        expect(disk.looks).toBe(4)
      })
  )

  it.effect("is asked again once uploads of a moment have asked for all but a reserve of it", () =>
    Effect.gen(function* () {
      const { disk, space } = watched()
      for (let asked = 0; asked < 1000; asked++) {
        const free = yield* space.beside(mebibyte, 0)
        expect(free).toBeLessThanOrEqual(1000 * mebibyte - (disk.looks === 1 ? asked * mebibyte : 0))
      }
      expect(disk.looks).toBe(2)
    })
  )

  it.effect("is asked again where the clock was set back", () =>
    Effect.gen(function* () {
      const { disk, space } = watched()
      yield* TestClock.setTime(10_000)
      yield* space.beside(0, 0)
      yield* TestClock.setTime(5000)
      yield* space.beside(0, 0)
      expect(disk.looks).toBe(2)
    })
  )
})
