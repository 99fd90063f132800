import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { Bag } from "../src/Bag.ts"

describe("a bag", () => {
  it.prop(
    "has what was put in and not taken out, in whatever order",
    [FastCheck.array(FastCheck.tuple(FastCheck.boolean(), FastCheck.nat(9)), { maxLength: 60 })],
    ([changes]) => {
      const bag = new Bag<number>()
      const expected = new Set<number>()
      for (const [isPut, thing] of changes) {
        if (!isPut) {
          bag.remove(thing)
          expected.delete(thing)
        } else if (!expected.has(thing)) {
          bag.add(thing)
          expected.add(thing)
        }
        expect([...bag].toSorted()).toEqual([...expected].toSorted())
        expect(bag.size).toBe(expected.size)
      }
    }
  )
})
