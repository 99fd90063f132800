/** Lines, however their bytes come. */
import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { TextLines } from "../../../src/cli/run/TextLines.ts"

const linesOf = (pieces: Iterable<Uint8Array>) => {
  const lines = new TextLines()
  const found = Array.from(pieces, (piece) => lines.push(piece)).flat()
  return [...found, ...lines.end()]
}

describe("lines of text", () => {
  const text = fc
    .array(fc.constantFrom("a", "é", "☃", "\n", "\r"), { maxLength: 40 })
    .map((all) => all.join(""))
  it.prop("are the same however the bytes are cut", [text, fc.integer({ min: 1, max: 5 })], ([all, size]) => {
    const bytes = Buffer.from(all)
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
      bytes.subarray(at * size, (at + 1) * size)
    )
    const expected = all.split("\n")
    if (expected.at(-1) === "") expected.pop()
    expect(linesOf(pieces)).toEqual(expected)
  })

  it("without an end are cut", () => {
    const found = linesOf(Array.from({ length: 300 }, () => Buffer.alloc(1024, "x")))
    expect(found.join("")).toHaveLength(300 * 1024)
    expect(Math.max(...found.map((line) => line.length))).toBeLessThanOrEqual(66 * 1024)
  })
})
