import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as Glob from "../src/Glob.ts"

const part = FastCheck.constantFrom("a", "b", ".", "*", "?")
const pattern = FastCheck.array(part, { maxLength: 8 }).map((parts) => parts.join(""))
const text = FastCheck.array(FastCheck.constantFrom("a", "b", "."), { maxLength: 10 }).map((all) =>
  all.join("")
)

describe("matches", () => {
  it.prop("means what a regular expression of the same parts means", [pattern, text], ([pattern, text]) => {
    const parts = [...pattern].map((one) => ({ "*": ".*", "?": ".", ".": "\\." })[one] ?? one)
    expect(Glob.matches(pattern, text)).toBe(new RegExp(`^${parts.join("")}$`).test(text))
  })

  it("is done at once, whatever the pattern", () => {
    // A regular expression of it would take longer than there is time.
    expect(Glob.matches("*a".repeat(100), "a".repeat(250))).toBe(true)
    expect(Glob.matches(`${"*a".repeat(100)}b`, "a".repeat(250))).toBe(false)
  })
})
