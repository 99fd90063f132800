import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { failure, printBytes, shorten } from "./Properties.ts"

describe("bytes are printed", () => {
  it.each([
    ["hello", '5 bytes <"hello">'],
    ["x".repeat(65_536), "65536 bytes <65536 × x>"],
    [`GET ${"a".repeat(20)}/`, '25 bytes <"GET ", 20 × a, "/">'],
    [Buffer.from([0, 255, 10]), "3 bytes <00 ff 0a>"],
    [Buffer.concat([Buffer.from([1]), Buffer.alloc(1000)]), "1001 bytes <01, 1000 × 00>"],
    ["", "0 bytes <>"]
  ])("%#", (bytes, printed) => {
    expect(printBytes(Buffer.from(bytes))).toBe(printed)
    expect(FastCheck.stringify(new Uint8Array(Buffer.from(bytes)))).toBe(printed)
  })
})

describe("a property that fails", () => {
  const bytes = FastCheck.uint8Array({ minLength: 50_000, maxLength: 60_000, size: "max" })

  const failing = (parameters: FastCheck.Parameters<unknown>) =>
    failure(
      FastCheck.check(
        FastCheck.property(FastCheck.array(bytes, { minLength: 2, maxLength: 2 }), (all) => {
          expect(all).toEqual([])
        }),
        { numRuns: 1, endOnFailure: true, ...parameters }
      )
    )

  it("says so in one screen, with the seed", () => {
    const { message = "" } = failing({ seed: 42 }) ?? {}
    expect(message.length).toBeLessThan(4000)
    expect(message).toContain("again: FC_SEED=42 FC_PATH=0 npm test -- FILE -t NAME")
  })

  it("fails its test", () => {
    expect(() => FastCheck.assert(FastCheck.property(FastCheck.nat(), () => false))).toThrow(
      /^the property fails, case 1, /
    )
  })
})

it("a property that holds says nothing", () => {
  expect(failure(FastCheck.check(FastCheck.property(FastCheck.nat(), () => true)))).toBeUndefined()
})

it("what is too long keeps its beginning and its end", () => {
  expect(shorten("short", 300)).toBe("short")
  const text = shorten(`begin${"-".repeat(1000)}end`, 300)
  expect(text).toMatch(/^begin-+ … 708 characters … -+end$/)
})
