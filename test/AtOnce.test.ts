/** Effects that have their values when they are made. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import * as AtOnce from "../src/AtOnce.ts"

const ends = {
  onFailure: (why: string) => Effect.succeed(`failed: ${why}`),
  onSuccess: (value: number) => Effect.succeed(value + 1)
}

describe("what goes on from an effect", () => {
  it("is called at once where that is a value", () => {
    expect(AtOnce.map(Effect.succeed(1), (value) => value + 1)).toEqual(Exit.succeed(2))
    expect(AtOnce.flatMap(Effect.succeed(1), (value) => Effect.succeed(value + 1))).toEqual(Exit.succeed(2))
    expect(AtOnce.matchEffect(Effect.succeed(1), ends)).toEqual(Exit.succeed(2))
  })

  it.effect("is what belongs to its end, where there are two", () =>
    Effect.gen(function* () {
      const late = AtOnce.matchEffect(
        Effect.sync(() => 1),
        ends
      )
      expect(Exit.isExit(late)).toBe(false)
      expect(yield* late).toBe(2)
      expect(yield* AtOnce.matchEffect(Effect.fail("why"), ends)).toBe("failed: why")
    })
  )

  it.effect("is called once that has ended, where it is none, and not where it fails", () =>
    Effect.gen(function* () {
      const called: Array<number> = []
      const next = (value: number) => {
        called.push(value)
        return value
      }
      const later = [
        AtOnce.map(
          Effect.sync(() => 1),
          next
        ),
        AtOnce.flatMap(
          Effect.sync(() => 2),
          (value) => Effect.succeed(next(value))
        ),
        AtOnce.map(Effect.fail("why"), next),
        AtOnce.flatMap(Effect.fail("why"), (value) => Effect.succeed(next(value)))
      ]
      expect(called).toEqual([])
      const ends = yield* Effect.forEach(later, (each) => Effect.exit<number, string, never>(each))
      expect(ends).toEqual([Exit.succeed(1), Exit.succeed(2), Exit.fail("why"), Exit.fail("why")])
      expect(called).toEqual([1, 2])
    })
  )
})
