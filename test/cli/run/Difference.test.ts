/** How outputs differ. */
import { describe, expect, it } from "@effect/vitest"
import { lines } from "../../../src/cli/run/Difference.ts"

const output = (name: string, ...all: ReadonlyArray<string>) => ({
  name,
  text: all.map((line) => `${line}\n`).join("")
})

describe("the difference between two outputs", () => {
  it("is in the unified form, none where there is none, and not told where it is nearly all", () => {
    expect(lines(output("web[1-3]", "a", "b", "c"), output("db1", "a", "x", "c"))).toEqual([
      "--- web[1-3]",
      "+++ db1",
      "@@ -1,3 +1,3 @@",
      " a",
      "-b",
      "+x",
      " c"
    ])
    expect(lines(output("a", "x"), output("b", "x"))).toEqual([])
    const many = (what: string) => Array.from({ length: 3000 }, (_, at) => `${what} ${at}`)
    expect(lines(output("a", ...many("x")), output("b", ...many("y")))).toBeUndefined()
  })
})
