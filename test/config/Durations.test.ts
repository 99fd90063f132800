import { Duration, FastCheck, Option } from "effect"
import { describe, expect, it } from "vitest"
import * as Durations from "../../src/config/Durations.ts"

const millis = (text: string) => Option.getOrUndefined(Option.map(Durations.parse(text), Duration.toMillis))

describe("a duration", () => {
  it.each([
    ["10s", 10_000],
    ["5min", 300_000],
    ["1h 30m", 5_400_000],
    ["1h30m", 5_400_000],
    ["500ms", 500],
    ["7days", 604_800_000],
    [" 2 weeks ", 1_209_600_000],
    ["0s", 0],
    ["1 day 2 hours", 93_600_000]
  ])("%s is %i ms", (text, expected) => {
    expect(millis(text)).toBe(expected)
  })

  it.each(["", " ", "10", "s", "-1s", "1.5h", "10 parsecs", "1h,2m", "99999999999999years", "1h x"])(
    "is not %j",
    (text) => {
      expect(millis(text)).toBeUndefined()
    }
  )

  it("is read as it is printed", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.integer({ min: 0, max: 10 ** 12 }), (length) => {
        expect(millis(Durations.print(Duration.millis(length)))).toBe(length)
      })
    )
  })
})
