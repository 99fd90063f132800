import { Either } from "effect"
import { describe, expect, it } from "vitest"
import * as RunListQuery from "../../src/remote-run/RunListQuery.ts"

const limitOf = (text: string) =>
  Either.map(RunListQuery.decode(new URLSearchParams({ limit: text })), ({ limit }) => limit)

describe("how many runs a page of the list has", () => {
  it.each([
    ["1", 1],
    ["1000", 1000]
  ])("may be %s", (text, limit) => {
    expect(limitOf(text)).toEqual(Either.right(limit))
  })

  it.each(["", "0", "1001", "1e2", "0x10", " 5", "+5", "1.0", "-1"])("may not be %j", (text) => {
    expect(limitOf(text)).toMatchObject(
      Either.left({ parameter: "limit", message: "limit: expected a whole number from 1 to 1000" })
    )
  })
})
