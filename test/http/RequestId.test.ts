import { describe, expect, it } from "@effect/vitest"
import * as RequestId from "../../src/http/RequestId.ts"

describe("the id of a request", () => {
  it("is the caller's own where that is sane, else a new UUID of version 4", () => {
    expect(RequestId.of("one-2.3_4")).toBe("one-2.3_4")
    const given = [undefined, "", "two words", "a".repeat(129), "a\n"]
    const made = Array.from({ length: 500 }, (_, at) => RequestId.of(given[at % given.length]))
    for (const id of made)
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(new Set(made).size).toBe(500)
    // Each of the digits is drawn, but for the version's and the variant's.
    for (let at = 0; at < 36; at++)
      if (![8, 13, 14, 18, 19, 23].includes(at))
        expect(new Set(made.map((id) => id[at])).size, String(at)).toBe(16)
  })
})
