import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as Smallest from "../src/Smallest.ts"

describe("Smallest", () => {
  it.prop(
    "has the first of all that were given, in their order",
    [FastCheck.integer({ min: 1, max: 5 }), FastCheck.uniqueArray(FastCheck.string({ maxLength: 3 }))],
    ([count, texts]) => {
      const smallest = Smallest.make(count)
      for (const text of texts) if (smallest.mayBe(text)) smallest.add(text)
      expect(smallest.sorted()).toEqual([...texts].sort().slice(0, count))
    }
  )
})
