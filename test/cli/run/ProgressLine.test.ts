/** The progress line, at any width. */
import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { clock, left, render } from "../../../src/cli/run/ProgressLine.ts"

const progress = { waiting: 12, running: 50, ok: 230, failed: 8, elapsed: 35_400, silent: 0 }

describe("the progress line", () => {
  it("says how many nodes wait, run, are ok and failed, how long it took and when it may end", () => {
    expect(render(progress, 100)).toBe(
      "12 waiting, 50 running, 230 ok, 8 failed, 0:35 elapsed, ends in about 0:09"
    )
    expect(render(progress, 60)).toBe("12 waiting, 50 running, 230 ok, 8 failed, 0:35, ends in 0:09")
    expect(render(progress, 50)).toBe("12 waiting, 50 running, 230 ok, 8 failed, 0:35")
    expect(render(progress, 40)).toBe("12w 50r 230ok 8f 0:35 -0:09")
    expect(render(progress, 10)).toBe("12w 50r 23")
    expect(render(progress, 0)).toBe("")
  })

  it("says that nothing is heard of the relay, where that is longer than a relay is silent", () => {
    expect(render({ ...progress, silent: 16_000 }, 100)).toContain("ends in about")
    expect(render({ ...progress, silent: 25_000 }, 100)).toBe(
      "no word from the relay for 0:25; 12 waiting, 50 running, 230 ok, 8 failed"
    )
    expect(render({ ...progress, silent: 25_000 }, 20)).toBe("no word for 0:25")
  })

  it("expects nothing before the first end, nor after the last", () => {
    expect(left({ ...progress, ok: 0, failed: 0 })).toBeUndefined()
    expect(left({ ...progress, waiting: 0, running: 0 })).toBeUndefined()
    expect(left({ waiting: 5, running: 5, ok: 9, failed: 1, elapsed: 60_000, silent: 0 })).toBe(60_000)
  })

  it("counts in seconds, minutes and hours", () => {
    expect([0, 999, 59_999, 60_000, 754_000, 3_723_000].map(clock)).toEqual([
      "0:00",
      "0:00",
      "0:59",
      "1:00",
      "12:34",
      "1:02:03"
    ])
  })

  const count = fc.nat(1_000_000)
  it.prop(
    "is never wider than the screen, and one line",
    [
      fc.record({
        waiting: count,
        running: count,
        ok: count,
        failed: count,
        elapsed: fc.nat(),
        silent: fc.nat(60_000)
      }),
      fc.nat(200)
    ],
    ([some, width]) => {
      const line = render(some, width)
      expect(line.length).toBeLessThanOrEqual(width)
      expect(line).toMatch(/^[ -~]*$/)
    }
  )
})
