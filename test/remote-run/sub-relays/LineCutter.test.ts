import { FastCheck } from "effect"
import { describe, expect, it } from "vitest"
import { LineCutter } from "../../../src/remote-run/sub-relays/LineCutter.ts"

describe("lines", () => {
  it("are what stands between newlines, however the bytes come", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(FastCheck.stringMatching(/^[a-é]{0,20}$/), { maxLength: 20 }),
        FastCheck.array(FastCheck.integer({ min: 1, max: 30 }), { minLength: 1 }),
        (lines, sizes) => {
          const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""))
          const cutter = new LineCutter(100)
          const found: Array<string> = []
          for (let at = 0, turn = 0; at < bytes.length; turn++) {
            const size = sizes[turn % sizes.length] ?? 1
            found.push(
              ...(cutter.push(bytes.subarray(at, at + size)) ?? []).map((line) => line.toString("utf8"))
            )
            at += size
          }
          expect(found).toEqual(lines)
        }
      )
    )
  })

  it("of the greatest length are lines, and longer ones are none", () => {
    const longest = "x".repeat(100)
    expect(new LineCutter(100).push(Buffer.from(`${longest}\n`))?.map(String)).toEqual([longest])
    expect(new LineCutter(100).push(Buffer.from(`${longest}x\n`))).toBeUndefined()
    expect(new LineCutter(100).push(Buffer.from(`${longest}x`))).toBeUndefined()
  })

  it("cost their own length, also where they come byte by byte", () => {
    const length = 1024 * 1024
    const cutter = new LineCutter(length)
    // As a socket gives them: each is a view of memory of its own.
    const before = process.memoryUsage()
    for (let at = 0; at < length; at++) cutter.push(Buffer.from("x"))
    const after = process.memoryUsage()
    expect(after.heapUsed + after.external - before.heapUsed - before.external).toBeLessThan(
      100 * 1024 * 1024
    )
    expect(cutter.push(Buffer.from("\n"))?.[0]?.length).toBe(length)
  })
})
