import { Either, FastCheck, Option } from "effect"
import { describe, expect, it } from "vitest"
import * as AllowedClasses from "../../src/remote-run/AllowedClasses.ts"

const allows = (patterns: ReadonlyArray<string>, ...classes: ReadonlyArray<string>) =>
  Either.isRight(AllowedClasses.check(Option.some(patterns), classes))

describe("allowed classes", () => {
  it("are all, where none are named", () => {
    expect(Either.isRight(AllowedClasses.check(Option.none(), ["anything"]))).toBe(true)
  })

  it.each([
    [["force"], "force", true],
    [["force"], "forced", false],
    [["force"], "enforce", false],
    [["app_*"], "app_", true],
    [["app_*"], "app_web", true],
    [["app_*"], "my_app_web", false],
    [["*_update"], "force_update", true],
    [["*_update"], "force_updated", false],
    [["a*b*c"], "abc", true],
    [["a*b*c"], "aXbYc", true],
    [["a*b*c"], "acb", false],
    [["ab*ba"], "aba", false],
    [["ab*ba"], "abba", true],
    [["*"], "x", true],
    [["**"], "x", true],
    [["a", "b*"], "b1", true],
    [["Force"], "force", false],
    [[], "x", false]
  ])("%j and %s: %s", (patterns, name, allowed) => {
    expect(allows(patterns, name)).toBe(allowed)
  })

  it("may always be none", () => {
    expect(allows([])).toBe(true)
  })

  it("are checked each, and the refused one is named", () => {
    const refused = AllowedClasses.check(Option.some(["a*"]), ["ab", "reboot", "x"])
    expect(Either.flip(refused).pipe(Either.getOrThrow)).toMatchObject({
      _tag: "InvalidRequest",
      parameter: "classes",
      message: 'classes: expected classes that remote_run.allowed_classes has, got "reboot"'
    })
  })

  it("are those that the pattern as a regular expression has", () => {
    const letters = FastCheck.array(FastCheck.constantFrom("a", "b"), { maxLength: 8 }).map((all) =>
      all.join("")
    )
    const pattern = FastCheck.array(FastCheck.constantFrom("a", "b", "*"), { maxLength: 6 }).map((all) =>
      all.join("")
    )
    FastCheck.assert(
      FastCheck.property(letters, pattern, (name, written) => {
        const expected = new RegExp(`^${written.replaceAll("*", ".*")}$`).test(name)
        expect(allows([written], name)).toBe(expected)
      }),
      { numRuns: 3000 }
    )
  })
})
