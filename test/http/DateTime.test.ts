/** Dates as callers write them. */
import { describe, expect, it } from "@effect/vitest"
import { FastCheck, Option } from "effect"
import * as DateTime from "../../src/http/DateTime.ts"

const twoDigits = (value: number): string => String(value).padStart(2, "0")

describe("a date", () => {
  it.prop(
    "in any zone is the moment that it says",
    [
      FastCheck.date({
        min: new Date("0001-01-02T00:00:00Z"),
        max: new Date("9999-12-30T00:00:00Z"),
        noInvalidDate: true
      }),
      FastCheck.integer({ min: -14 * 60, max: 14 * 60 })
    ],
    ([moment, ahead]) => {
      expect(DateTime.parse(moment.toISOString())).toEqual(Option.some(moment.getTime()))
      const there = new Date(moment.getTime() + ahead * 60_000).toISOString().slice(0, -1)
      const [hours, minutes] = [Math.floor(Math.abs(ahead) / 60), Math.abs(ahead) % 60].map(twoDigits)
      const zone = `${ahead < 0 ? "-" : "+"}${hours}:${minutes}`
      expect(DateTime.parse(`${there}${zone}`)).toEqual(Option.some(moment.getTime()))
    }
  )

  it.prop(
    "is printed as JavaScript does it, and read as what it was printed of, by turns with others",
    [FastCheck.array(FastCheck.integer({ min: 0, max: 3 }), { maxLength: 8 })],
    ([days]) => {
      for (const millis of days.map((day) => day * 86_400_000 + 1)) {
        expect(DateTime.print(millis)).toBe(new Date(millis).toISOString())
        expect(DateTime.parse("1970-01-02T00:00:00.001Z")).toEqual(Option.some(86_400_001))
      }
    }
  )

  it("that was printed by a clock which tells parts of a millisecond is read without them", () => {
    expect(DateTime.print(86_400_002.5)).toBe("1970-01-02T00:00:00.002Z")
    expect(DateTime.parse("1970-01-02T00:00:00.002Z")).toEqual(Option.some(86_400_002))
  })

  it.prop(
    "is none where its day is not in the calendar",
    [
      FastCheck.integer({ min: 1900, max: 2100 }),
      FastCheck.integer({ min: 0, max: 13 }),
      FastCheck.integer({ min: 0, max: 32 })
    ],
    ([year, month, day]) => {
      const made = new Date(Date.UTC(year, month - 1, day))
      const isInCalendar = made.getUTCMonth() === month - 1 && made.getUTCDate() === day
      const text = `${year}-${twoDigits(month)}-${twoDigits(day)}T12:00:00Z`
      expect(Option.isSome(DateTime.parse(text))).toBe(isInCalendar)
    }
  )

  it("is none on 30 February and 31 April, however it is written", () => {
    for (const day of ["2026-02-30", "2026-04-31"])
      for (const time of ["12:00:00Z", "12:00:00.000Z", "12:00:00.000+01:00"])
        expect(DateTime.parse(`${day}T${time}`)).toEqual(Option.none())
  })

  it("is none for other text", () => {
    for (const text of ["", "2026-01-05", "2026-01-05T09:00Z", "2026-01-05T09:00:00", "2026-01-05T25:00:00Z"])
      expect(DateTime.parse(text)).toEqual(Option.none())
  })
})
