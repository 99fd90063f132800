import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { decodeRecord, encodeHeader, Kind } from "../../../src/remote-run/journal/JournalRecord.ts"
import * as RunFormat from "../../../src/remote-run/journal/RunFormat.ts"

/** Text without a newline: most of it as most programs print it, some with all that JSON has another word for. */
const line = FastCheck.oneof(
  FastCheck.stringMatching(/^[ -~é€]{0,30}$/),
  FastCheck.string({ unit: "binary", maxLength: 30 }),
  FastCheck.constantFrom('","', '",', ',"', '[",', '\\","', "\\n", "\\", '"', "\u2028", "\u007f", "$&", "😀")
).map((text) => text.replaceAll("\n", " "))

const few = FastCheck.array(line, { minLength: 1, maxLength: 20 })
/** More than are made JSON at once, wherever they are cut. */
const many = FastCheck.tuple(few, FastCheck.integer({ min: 7000, max: 9000 })).map(([lines, length]) => [
  ...lines,
  "é".repeat(length),
  ...lines,
  '"\\'.repeat(length),
  ...lines
])
const lines = FastCheck.oneof({ weight: 4, arbitrary: few }, { weight: 1, arbitrary: many })

/** The record at some place of a buffer that holds more than it. */
const recordOf = (node: string, payload: Buffer, at: number) => {
  const header = encodeHeader(Kind.stdout, node, payload.length, 0, { continued: false, open: false })
  const record = decodeRecord(Buffer.concat([Buffer.alloc(at), header, payload]), at)
  if (record === undefined) throw new Error("no record")
  return record
}

describe("a record of output", () => {
  it.prop(
    "is in ndjson what JSON.stringify says of each line",
    { lines, node: FastCheck.constantFrom("n0", "a-longer.node_id"), at: FastCheck.nat(9) },
    ({ lines, node, at }) => {
      const payload = Buffer.from(lines.map((line) => `${line}\n`).join(""))
      const shown = { after: 0, streams: RunFormat.streamsOf.ndjson, ids: false }
      const bytes = Buffer.concat(RunFormat.encode("ndjson", recordOf(node, payload, at), at, shown))
      expect(bytes.toString()).toBe(
        payload
          .toString()
          .split("\n")
          .slice(0, -1)
          .map((line) => `${JSON.stringify({ event: "output", node, stream: "stdout", line })}\n`)
          .join("")
      )
    }
  )

  it.each([
    ['{\n  "name": "x",\n  "port": 1\n}\n'],
    ['",\n'],
    [',"\n",\n","\n'],
    ['\\",\n\\\\",\n\\\n"\n'],
    // Where lines are not made JSON together.
    [`${"x".repeat(8 * 1024 - 2)}",\n"\n`]
  ])("has in ndjson its lines, also where one ends as a string of JSON in an array does: %j", (text) => {
    const shown = { after: 0, streams: RunFormat.streamsOf.ndjson, ids: false }
    const bytes = Buffer.concat(RunFormat.encode("ndjson", recordOf("n0", Buffer.from(text), 0), 0, shown))
    const found = bytes.toString().split("\n").slice(0, -1)
    expect(found.map((line) => JSON.parse(line).line)).toEqual(text.split("\n").slice(0, -1))
  })

  it("has in ndjson each byte of ASCII as JSON.stringify has it", () => {
    const shown = { after: 0, streams: RunFormat.streamsOf.ndjson, ids: false }
    const wrong = Array.from({ length: 128 }, (_, code) => `a${String.fromCharCode(code)}b`).filter(
      (text) => {
        const [bytes] = RunFormat.encode("ndjson", recordOf("n0", Buffer.from(`${text}\n`), 0), 0, shown)
        const lines = text
          .split("\n")
          .map((line) => JSON.stringify({ event: "output", node: "n0", stream: "stdout", line }))
        return bytes?.toString() !== `${lines.join("\n")}\n`
      }
    )
    expect(wrong).toEqual([])
  })
})
