import { describe, expect, it } from "@effect/vitest"
import { Either, FastCheck } from "effect"
import { HeaderReader, maxLength, parse, print } from "../../../src/shared-files/file/HeaderBlock.ts"

/** Reads a body that comes in these pieces: the block, and the content behind it. */
const read = (...pieces: ReadonlyArray<Uint8Array | string>) => {
  const reader = new HeaderReader()
  for (const [index, piece] of pieces.entries()) {
    const result = reader.push(Buffer.from(piece))
    if (Either.isLeft(result)) return result.left.message
    if (result.right !== undefined) {
      const behind = pieces.slice(index + 1).map((bytes) => Buffer.from(bytes))
      return {
        block: Object.fromEntries(result.right.block),
        content: Buffer.concat([result.right.rest, ...behind]).toString("latin1")
      }
    }
  }
  return "no end"
}

const inPieces = (bytes: Buffer, cuts: ReadonlyArray<number>): ReadonlyArray<Buffer> => {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...places].map((from, index) => bytes.subarray(from, places[index] ?? bytes.length))
}

describe("a header block", () => {
  it("ends at the first empty line, and the rest is content", () => {
    expect(read("a=1\nb=2\n\nbytes\n\nc=3\n")).toEqual({
      block: { a: "1", b: "2" },
      content: "bytes\n\nc=3\n"
    })
    expect(read("a=1\r\nb=2\r\n\r\n\r\nx")).toEqual({ block: { a: "1", b: "2" }, content: "\r\nx" })
    expect(read("\ncontent")).toEqual({ block: {}, content: "content" })
    expect(read("a=1\n\n")).toEqual({ block: { a: "1" }, content: "" })
    expect(read("a=1\n")).toBe("no end")
    expect(read("a=1\n\r")).toBe("no end")
    expect(read("a=1\n\r\r\n\n")).toEqual({ block: { a: "1" }, content: "" })
  })

  it("keeps what is behind the first equals sign, without spaces around, and ignores what has none", () => {
    expect(read("key = a=b== \nno key\n\n")).toEqual({ block: { key: "a=b==" }, content: "" })
  })

  it("has no key twice", () => {
    expect(read("a=1\nb=2\na=1\n\n")).toBe("header block: a is there twice")
    expect(read("a=1\n a =2\n\n")).toBe("header block: a is there twice")
  })

  it("is UTF-8", () => {
    expect(read("hostname=é\n\n")).toEqual({ block: { hostname: "é" }, content: "" })
    expect(read(Buffer.from([0x61, 0x3d, 0xff, 0x0a, 0x0a]))).toBe("header block: expected UTF-8")
  })

  it("is at most 64 KiB long", () => {
    const line = `a=${"x".repeat(maxLength - 4)}\n`
    expect(read(`${line}\nrest`)).toMatchObject({ content: "rest" })
    expect(read(`a${line}\nrest`)).toBe("header block: expected an empty line within 64 KiB")
    expect(read("x".repeat(maxLength), "x")).toBe("header block: expected an empty line within 64 KiB")
    expect(read("x".repeat(10 * maxLength))).toBe("header block: expected an empty line within 64 KiB")
  })

  const line = FastCheck.string().filter((text) => !/[\r\n]/.test(text))
  const key = FastCheck.stringMatching(/^[a-z_]{1,8}$/)

  it.prop(
    "is read the same in whatever pieces it comes",
    [
      FastCheck.uniqueArray(FastCheck.tuple(key, line), { selector: ([name]) => name }),
      FastCheck.uint8Array(),
      FastCheck.array(FastCheck.nat())
    ],
    ([entries, content, cuts]) => {
      const bytes = Buffer.concat([Buffer.from(`${print(entries)}\n`), content])
      expect(read(...inPieces(bytes, cuts))).toEqual({
        block: Object.fromEntries(entries.map(([name, value]) => [name, value.trim()])),
        content: Buffer.from(content).toString("latin1")
      })
    }
  )

  it.prop("any bytes at all are a block, no block yet, or refused", [FastCheck.uint8Array()], ([bytes]) => {
    expect(["string", "object"]).toContain(typeof read(bytes))
  })

  it("printed is read as the same", () => {
    expect(
      parse(
        print([
          ["a", "1"],
          ["b", "x=y"]
        ])
      )
    ).toEqual(
      Either.right(
        new Map([
          ["a", "1"],
          ["b", "x=y"]
        ])
      )
    )
  })
})
