/** What a target means. */
import { describe, expect, it } from "@effect/vitest"
import { Either } from "effect"
import { parse, textOf, words } from "../../../src/cli/run/Target.ts"

const meant = (text: string) => Either.getOrThrow(parse(text))

describe("a target", () => {
  it("is a name, folded names, or a glob", () => {
    for (const [text, names] of [
      ["web1", ["web1"]],
      ["web[1-2].example.com,db", ["web1.example.com", "web2.example.com", "db"]],
      ["web*.?x", ["web*.?x"]]
    ] as const)
      expect(meant(text)).toEqual({ _tag: "Names", text, names })
  })

  it("is all nodes, those behind a relay, those of a run, or those of them that failed", () => {
    const run = "019b8d1c-2600-7a64-9e7c-3f1f0c5f2b11"
    for (const [text, target] of [
      ["@all", { _tag: "All" }],
      ["@relay:edge-1", { _tag: "BehindRelay", relay: "edge-1" }],
      [`@run:${run}`, { _tag: "OfRun", run, failed: false }],
      [`@run:${run}:failed`, { _tag: "OfRun", run, failed: true }]
    ] as const) {
      expect(meant(text)).toEqual(target)
      expect(textOf(meant(text))).toBe(text)
    }
  })

  it("is none of what else begins with @, nor what no node can be called", () => {
    for (const text of [
      "",
      "@",
      "@al",
      "@all:failed",
      "@relay:",
      "@run:",
      "@run:0190:ok",
      "a b",
      "a/b",
      "web[1-",
      "web1,,web2"
    ])
      expect(Either.isLeft(parse(text))).toBe(true)
  })

  it("may be one word of many in a text, behind which # begins a comment", () => {
    expect(words("web1 web2\n\n# all of these\r\n\tdb1 # and that\nx#y\n")).toEqual([
      "web1",
      "web2",
      "db1",
      "x#y"
    ])
  })
})
