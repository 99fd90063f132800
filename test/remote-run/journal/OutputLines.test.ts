import { FastCheck } from "effect"
import { describe, expect, it } from "vitest"
import { maxLineLength, OutputLines, type Piece } from "../../../src/remote-run/journal/OutputLines.ts"

const cut = (chunks: ReadonlyArray<Uint8Array>): ReadonlyArray<Piece> => {
  const lines = new OutputLines()
  // Pieces share memory with what was pushed: a copy is what a journal makes of them.
  const pieces = chunks
    .flatMap((chunk) => lines.push(chunk))
    .map((piece) => ({ ...piece, bytes: Buffer.from(piece.bytes) }))
  return [...pieces, ...lines.end()]
}

const text = (pieces: ReadonlyArray<Piece>) =>
  Buffer.concat(pieces.map(({ bytes }) => bytes)).toString("latin1")

/** Bytes with many newlines, and now and then a run that is longer than a line may be. */
const chunk = FastCheck.oneof(
  { weight: 8, arbitrary: FastCheck.uint8Array({ maxLength: 40 }) },
  {
    weight: 6,
    arbitrary: FastCheck.array(FastCheck.constantFrom("\n", "a", "é", "line\n"), { maxLength: 20 }).map(
      (parts) => new Uint8Array(Buffer.from(parts.join("")))
    )
  },
  {
    weight: 1,
    arbitrary: FastCheck.integer({ min: 60_000, max: 200_000 }).map((length) =>
      new Uint8Array(length).fill(0x78)
    )
  }
)

describe("OutputLines", () => {
  it("adds, loses and moves no byte", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(chunk, { maxLength: 12 }), (chunks) => {
        expect(text(cut(chunks))).toBe(Buffer.concat(chunks).toString("latin1"))
      })
    )
  })

  it("gives whole lines, and parts only of lines that are longer than 64 KiB", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(chunk, { maxLength: 12 }), (chunks) => {
        const pieces = cut(chunks)
        for (const [index, piece] of pieces.entries()) {
          const before = pieces[index - 1]
          expect(piece.continued).toBe(before?.open ?? false)
          if (piece.open) expect(piece.bytes.includes(0x0a)).toBe(false)
          else if (index < pieces.length - 1) expect(piece.bytes.at(-1)).toBe(0x0a)
          for (const line of Buffer.from(piece.bytes).toString("latin1").split("\n"))
            expect(line.length).toBeLessThanOrEqual(maxLineLength)
        }
      })
    )
  })

  it("gives the same lines however the bytes arrive", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(chunk, { maxLength: 8 }), (chunks) => {
        const lines = (pieces: ReadonlyArray<Piece>) =>
          pieces.flatMap((piece) =>
            piece.open
              ? [text([piece])]
              : text([piece])
                  .split(/(?<=\n)/)
                  .filter((line) => line !== "")
          )
        expect(lines(cut(chunks))).toEqual(lines(cut([Buffer.concat(chunks)])))
      })
    )
  })

  it("leaves a line of exactly 64 KiB whole", () => {
    const line = Buffer.from(`${"x".repeat(maxLineLength)}\n`)
    expect(cut([line]).map(({ open }) => open)).toEqual([false])
    expect(
      cut([line.subarray(0, maxLineLength), line.subarray(maxLineLength)]).map(({ open }) => open)
    ).toEqual([false])
  })

  it("does not part a character of several bytes", () => {
    const pieces = cut([Buffer.from(`x${"é".repeat(maxLineLength)}\n`)])
    expect(pieces.length).toBe(3)
    for (const piece of pieces) expect(Buffer.from(piece.bytes).toString("utf8")).not.toContain("\uFFFD")
  })

  it("gives a last line without its newline at the end", () => {
    expect(cut([Buffer.from("a\nb")]).map((piece) => text([piece]))).toEqual(["a\n", "b"])
  })
})
