import { FastCheck } from "effect"
import { describe, expect, it } from "vitest"
import { type EventMark, EventMarks, MarkedRuns } from "../../../src/remote-run/journal/EventMarks.ts"
import { RunId } from "../../../src/remote-run/RunId.ts"

/** A journal of which each event is 100 bytes. */
const markAt = (events: number): EventMark => ({ events, offset: 100 * events })

describe("marks in a journal", () => {
  it("are never behind what is asked for, and the last one that was left is there", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(FastCheck.nat(10_000), { maxLength: 300 }), (places) => {
        const marks = new EventMarks()
        for (const place of places) {
          marks.leave(markAt(place))
          const { events, offset } = marks.before(place + 1)
          expect(events).toBeLessThanOrEqual(place + 1)
          expect(offset).toBe(100 * events)
        }
        const highest = Math.max(0, ...places)
        expect(marks.before(20_000)).toEqual(markAt(highest))
      })
    )
  })

  it("are left by one who asks after the other, so that nothing is read twice", () => {
    const marks = new EventMarks()
    for (let place = 1; place <= 1000; place++) {
      expect(marks.before(place)).toEqual(markAt(place - 1))
      marks.leave(markAt(place))
    }
  })

  it("are kept for the runs that were asked for last", () => {
    const runs = new MarkedRuns()
    const idOf = (n: number) => RunId.make(`01900000-0000-7000-8000-${String(n).padStart(12, "0")}`)
    runs.of(idOf(0)).leave(markAt(7))
    for (let n = 1; n < 64; n++) runs.of(idOf(n))
    expect(runs.of(idOf(0)).before(9)).toEqual(markAt(7))
    for (let n = 100; n < 164; n++) runs.of(idOf(n))
    expect(runs.of(idOf(0)).before(9)).toEqual(markAt(0))
  })
})
