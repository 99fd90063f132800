/** Tables that fit the terminal. */
import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { type Column, render } from "../../src/cli/Table.ts"
import * as TextWidth from "../../src/cli/TextWidth.ts"

interface Row {
  readonly id: string
  readonly count: number
  readonly note: string
}

const columns: ReadonlyArray<Column<Row>> = [
  { title: "ID", cell: ({ id }) => id },
  { title: "COUNT", cell: ({ count }) => String(count), isNumber: true, least: 5 },
  { title: "NOTE", cell: ({ note }) => note, least: 6 }
]

const rows: ReadonlyArray<Row> = [
  { id: "72d6bd8b-b1d6-4b62-8e2e-bbc0b2d0b4f9", count: 7, note: "a long note that says much" },
  { id: "root", count: 12_345, note: "" }
]

/** Characters of one column, of two and of none, and one that is not printable. */
const text = fc.string({ unit: fc.constantFrom("a", "é", "日", "\u0301", "😀", " ", "\t"), maxLength: 40 })

describe("a table", () => {
  it("shows everything in a pipe, with `-` where there is nothing", () => {
    expect(render(columns, rows, undefined)).toEqual([
      "ID                                    COUNT  NOTE",
      "72d6bd8b-b1d6-4b62-8e2e-bbc0b2d0b4f9      7  a long note that says much",
      "root                                  12345  -"
    ])
  })

  it("cuts what may give way, and leaves it out where that does not do; ids stay whole", () => {
    expect(render(columns, rows, 60)[1]).toBe("72d6bd8b-b1d6-4b62-8e2e-bbc0b2d0b4f9      7  a long note th…")
    expect(render(columns, rows, 50)).toEqual([
      "ID                                    COUNT",
      "72d6bd8b-b1d6-4b62-8e2e-bbc0b2d0b4f9      7",
      "root                                  12345"
    ])
    expect(render(columns, rows, 10)).toEqual(["ID", ...rows.map(({ id }) => id)])
  })

  it("lets no text move the cursor, end the line or take more room than it seems", () => {
    const [, line = ""] = render(columns, [{ id: "日本", count: 1, note: "\u001b[2Ja\nb" }], 80)
    expect(line).toBe("日本      1  \\x1b[2Ja\\nb")
    expect(TextWidth.of(line)).toBe(line.length + 2)
  })

  const someRows = fc.array(fc.record({ id: text, count: fc.nat(), note: text }), { maxLength: 8 })

  it.prop(
    "fits, unless what can't be cut is too wide, and never cuts that",
    [someRows, fc.integer({ min: 1, max: 120 })],
    ([given, width]) => {
      const lines = render(columns, given, width)
      const ids = render(columns.slice(0, 1), given, undefined)
      const fits = lines.every((line) => TextWidth.of(line) <= width)
      const isJustIds = lines.join("\n") === ids.join("\n")
      expect(lines.length).toBe(given.length + 1)
      expect(fits || isJustIds).toBe(true)
      for (const [at, line] of lines.entries()) expect(line.startsWith(ids[at] ?? "?")).toBe(true)
    }
  )
})

describe("text of some width", () => {
  it.prop(
    "is cut to it, and only where it has to be",
    [text, fc.integer({ min: 1, max: 50 })],
    ([given, width]) => {
      const cut = TextWidth.cut(given, width)
      expect(TextWidth.of(cut)).toBeLessThanOrEqual(Math.max(width, 1))
      if (TextWidth.of(given) <= width) expect(cut).toBe(given)
    }
  )

  it.prop(
    "is wrapped to lines that have its words",
    [text, fc.integer({ min: 1, max: 50 })],
    ([given, width]) => {
      const words = (line: string) => line.split(" ").filter((word) => word !== "")
      const lines = TextWidth.wrap(given, width)
      expect(lines.flatMap(words)).toEqual(words(given))
      for (const line of lines) expect(TextWidth.of(line) <= width || !line.includes(" ")).toBe(true)
    }
  )
})
