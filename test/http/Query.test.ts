import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as Query from "../../src/http/Query.ts"

const { array, constantFrom, oneof, string } = FastCheck

/** Queries of names and values that look alike, and any other text. */
const query = oneof(
  array(constantFrom("a", "ab", "=", "&", "?", "%41", "%", "+", "é", "\ud800", "&a=", "ab=1")).map((parts) =>
    parts.join("")
  ),
  string()
)

describe("a query", () => {
  it.prop("has the parameters that URLSearchParams finds in it", [query], ([text]) => {
    const [found, wanted] = [Query.parse(text), new URLSearchParams(text)]
    expect([...found.keys()]).toEqual([...wanted.keys()])
    for (const name of new Set(["", "a", "ab", "A", ...wanted.keys()]))
      if (!name.includes("=")) expect([name, found.getAll(name)]).toEqual([name, wanted.getAll(name)])
  })
})
