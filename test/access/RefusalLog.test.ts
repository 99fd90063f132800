import { describe, expect, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import * as RefusalLog from "../../src/access/RefusalLog.ts"
import { logLines } from "../support/LogLines.ts"

const times = (count: number, effect: Effect.Effect<void>) =>
  Effect.forEach(Array.from({ length: count }), () => effect, { discard: true })

describe("a log of refusals", () => {
  it.effect("has so many lines a minute of one kind, and says how many it left out", () => {
    const { lines, layer } = logLines()
    return Effect.gen(function* () {
      const log = RefusalLog.bounded({ ofOne: 3, ofAll: 100 })
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

  it.effect("has no more lines of all kinds than it may, and has room again when those are old", () => {
    const { lines, layer } = logLines()
    return Effect.gen(function* () {
      const log = RefusalLog.bounded({ ofOne: 3, ofAll: 10 })
      for (let kind = 0; kind < 20; kind++) yield* times(3, log("refused", String(kind), {}))
      expect(lines).toHaveLength(10)
      yield* TestClock.adjust("1 minute")
      yield* log("refused", "a", {})
      expect(lines.at(-1)).toBe("WARN refused omitted=50")
    }).pipe(Effect.provide(layer))
  })
})
