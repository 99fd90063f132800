import { describe, expect, it } from "@effect/vitest"
import { FastCheck, Option } from "effect"
import * as FolderPath from "../../src/shared-folder/FolderPath.ts"

const name = FastCheck.string({ minLength: 1, unit: "grapheme" }).filter(
  (text) => !/[/\0]/.test(text) && text !== "." && text !== ".."
)

describe("a path in the shared folder", () => {
  it("is its names, decoded", () => {
    expect(FolderPath.parse("a")).toEqual(Option.some(["a"]))
    expect(FolderPath.parse("a/b%20c/%C3%A9.txt")).toEqual(Option.some(["a", "b c", "é.txt"]))
    expect(FolderPath.parse("...")).toEqual(Option.some(["..."]))
    expect(FolderPath.parse("..a/a..")).toEqual(Option.some(["..a", "a.."]))
  })

  it.each([
    "",
    "/",
    "/etc/passwd",
    "a/",
    "a//b",
    ".",
    "./a",
    "..",
    "a/..",
    "a/../b",
    "%2e%2e",
    ".%2E/a",
    "a%2Fb",
    "%2Fetc%2Fpasswd",
    "..%2f..%2fetc",
    "a%00",
    "%00",
    "%",
    "%zz",
    "%c0%ae%c0%ae",
    "%ff"
  ])("is not %j", (path) => {
    expect(FolderPath.parse(path)).toEqual(Option.none())
  })

  it.prop("any names, encoded, are read back", [FastCheck.array(name, { minLength: 1 })], ([names]) => {
    expect(FolderPath.parse(names.map(encodeURIComponent).join("/"))).toEqual(Option.some(names))
  })

  it.prop(
    "any text is none, or names that lead nowhere else",
    [FastCheck.stringMatching(/^(?:\.|\/|%2[eEfF]|%00|%25|a)*$/)],
    ([text]) => {
      for (const part of Option.getOrElse(FolderPath.parse(text), () => []))
        expect(["", ".", ".."].includes(part) || /[/\0]/.test(part)).toBe(false)
    }
  )
})
