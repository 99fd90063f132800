import { FastCheck, Option } from "effect"
import { describe, expect, it } from "vitest"
import * as Sizes from "../../src/config/Sizes.ts"

describe("a size", () => {
  it.each([
    ["50MiB", 52_428_800],
    ["1.5 GiB", 1_610_612_736],
    ["10MB", 10_000_000],
    ["16k", 16_000],
    ["16KiB", 16_384],
    ["7", 7],
    ["12B", 12],
    ["1 TiB", 1_099_511_627_776]
  ])("%s is %i bytes", (text, expected) => {
    expect(Option.getOrUndefined(Sizes.parse(text))).toBe(expected)
  })

  it.each(["", "MiB", "-1", "1.2345B", "10 XB", "1e9", "1,5MiB"])("is not %j", (text) => {
    expect(Option.isNone(Sizes.parse(text))).toBe(true)
  })

  it("is read as it is printed", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.maxSafeNat(), (bytes) => {
        expect(Option.getOrUndefined(Sizes.parse(Sizes.print(bytes)))).toBe(bytes)
      })
    )
  })
})
