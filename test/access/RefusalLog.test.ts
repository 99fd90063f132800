import { describe, expect, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import * as RefusalLog from "../../src/access/RefusalLog.ts"
import { logLines } from "../support/LogLines.ts"

const times = (count: number, effect: Effect.Effect<void>) =>
  Effect.forEach(Array.from({ length: count }), () => effect, { discard: true })

describe("a log of refusals", () => {
  it.scoped("has so many lines a minute of one kind, and says how many it left out", () => {
    const { lines, layer } = logLines()
    return Effect.gen(function* () {
      const log = yield* RefusalLog.bounded({ ofOne: 3, ofAll: 100 })
      yield* times(10, log("refused", "one", { address: "one" }))
      yield* log("refused", "other", { address: "other" })
      expect(lines).toEqual([
        ...Array.from({ length: 3 }, () => "WARN refused address=one"),
        "WARN refused address=other omitted=7"
      ])
      yield* TestClock.adjust("1 minute")
      yield* log("refused", "one", { address: "one" })
      expect(lines.at(-1)).toBe("WARN refused address=one")
      expect(lines).toHaveLength(5)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("has no more lines of all kinds than it may, and has room again when those are old", () => {
    const { lines, layer } = logLines()
    return Effect.gen(function* () {
      const log = yield* RefusalLog.bounded({ ofOne: 3, ofAll: 10 })
      for (let kind = 0; kind < 20; kind++) yield* times(3, log("refused", String(kind), {}))
      expect(lines).toHaveLength(10)
      yield* TestClock.adjust("1 minute")
      yield* log("refused", "a", {})
      expect(lines.slice(10)).toEqual(["WARN refusals had no line of their own omitted=50", "WARN refused"])
    }).pipe(Effect.provide(layer))
  })

  it.effect(
    "says how many it left out when the minute is over, and at its end, where no line came for it",
    () => {
      const { lines, layer } = logLines()
      return Effect.gen(function* () {
        yield* Effect.gen(function* () {
          const log = yield* RefusalLog.bounded({ ofOne: 3, ofAll: 100 })
          yield* times(10, log("refused", "one", {}))
          expect(lines).toHaveLength(3)
          yield* TestClock.adjust("1 minute")
          expect(lines.slice(3)).toEqual(["WARN refusals had no line of their own omitted=7"])
          yield* TestClock.adjust("1 hour")
          expect(lines).toHaveLength(4)
          yield* times(5, log("refused", "one", {}))
          expect(lines).toHaveLength(7)
        }).pipe(Effect.scoped)
        expect(lines.slice(7)).toEqual(["WARN refusals had no line of their own omitted=2"])
      }).pipe(Effect.provide(layer))
    }
  )
})
