/** Sizes, times and dates as a person reads them. */
import { describe, expect, it } from "@effect/vitest"
import * as Amount from "../../src/cli/Amount.ts"

describe("amounts", () => {
  it.each([
    [0, "0 B"],
    [812, "812 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [1_258_291, "1.2 MiB"],
    [1_048_575, "1.0 MiB"],
    [314_572_800, "300 MiB"],
    [5 * 2 ** 40, "5.0 TiB"],
    [5000 * 2 ** 40, "5000 TiB"]
  ])("%s bytes are %s", (bytes, text) => expect(Amount.size(bytes)).toBe(text))

  it.each([
    [0, "0s"],
    [0.04, "0s"],
    [8.893, "8.9s"],
    [59.6, "1min"],
    [125, "2min 5s"],
    [7200, "2h"],
    [10_930, "3h 2min"],
    [190_000, "2d 4h"],
    [86_401, "1d"]
  ])("%s seconds are %s", (seconds, text) => expect(Amount.seconds(seconds)).toBe(text))

  it("dates are to the second, and what is none stays", () => {
    expect(Amount.date("2026-01-05T09:00:00.123Z")).toBe("2026-01-05T09:00:00Z")
    expect(Amount.date(1_767_603_600_000)).toBe("2026-01-05T09:00:00Z")
    expect(Amount.date("soon")).toBe("soon")
  })
})
