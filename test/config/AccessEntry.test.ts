import { isIP } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { familyOf } from "../../src/config/AccessEntry.ts"

const parts = ["", "0", "1", "ffff", ":", "::", "12345", "g", "1.2.3.4", "256.1.1.1", "%", "%eth0", "\0", "."]
const likeAnAddress = FastCheck.array(FastCheck.constantFrom(...parts), { maxLength: 9 }).map((all) =>
  all.join("")
)

describe("the family of an address", () => {
  it("is node's", () => {
    for (const text of [
      "::1",
      "::",
      "fe80::1",
      "fe80::1%eth0",
      "127.0.0.1",
      "::ffff:1.2.3.4",
      "localhost",
      ""
    ])
      expect([text, familyOf(text)]).toEqual([text, isIP(text)])
  })

  it.prop(
    "is node's of any text",
    [FastCheck.oneof(likeAnAddress, FastCheck.ipV4(), FastCheck.ipV6(), FastCheck.string())],
    ([text]) => {
      expect(familyOf(text)).toBe(isIP(text))
    }
  )
})
