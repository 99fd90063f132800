/** Lists that come page by page. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Option } from "effect"
import * as Listing from "../../src/cli/Listing.ts"

/** A relay's list of so many numbers, which answers at most `largest` at once, and how it was asked. */
const relay = (count: number, largest: number) => {
  const asked: Array<number> = []
  const ask = (limit: number, place: string | undefined) =>
    Effect.sync(() => {
      asked.push(limit)
      const from = place === undefined ? 0 : Number(place)
      const to = Math.min(count, from + Math.min(limit, largest))
      return {
        items: Array.from({ length: to - from }, (_, at) => from + at),
        next: to < count ? String(to) : null
      }
    })
  return { ask, asked }
}

describe("pages", () => {
  it.effect.prop(
    "are all that there is, or as many as are wanted, whatever a page holds",
    [
      fc.integer({ min: 0, max: 60 }),
      fc.integer({ min: 1, max: 20 }),
      fc.option(fc.integer({ min: 1, max: 70 }))
    ],
    ([count, largest, limit]) =>
      Effect.gen(function* () {
        const { ask } = relay(count, largest)
        const { items, next } = yield* Listing.pages(ask, limit ?? undefined)
        const wanted = Math.min(count, limit ?? count)
        expect(items).toEqual(Array.from({ length: wanted }, (_, at) => at))
        expect(next).toBe(wanted < count ? String(wanted) : null)
      })
  )

  it.effect("are asked for by the thousand, and the last one by what is left", () =>
    Effect.gen(function* () {
      const { ask, asked } = relay(5000, 1000)
      yield* Listing.pages(ask, 2300)
      expect(asked).toEqual([1000, 1000, 300])
    })
  )

  it.effect("are never none", () =>
    Effect.gen(function* () {
      expect(yield* Listing.limitOf(Option.none())).toBeUndefined()
      expect(yield* Listing.limitOf(Option.some(3))).toBe(3)
      for (const limit of [0, -1])
        expect(yield* Effect.flip(Listing.limitOf(Option.some(limit)))).toMatchObject({ code: 2 })
    })
  )
})
