import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as Slab from "../../src/disk/Slab.ts"

describe("memory of a slab", () => {
  it.prop(
    "is of the length that was asked for, and nobody else's",
    [FastCheck.array(FastCheck.nat(70_000), { maxLength: 60 })],
    ([lengths]) => {
      const taken = lengths.map((length, at) => Slab.take(length).fill(at))
      expect(taken.map(({ length }) => length)).toEqual(lengths)
      for (const [at, bytes] of taken.entries()) expect(bytes.every((byte) => byte === at)).toBe(true)
    }
  )
})
