import { readFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { FastCheck, Schema } from "effect"
import { table } from "../../src/config/Keys.ts"
import * as Values from "../../src/config/Values.ts"
import { page } from "../support/ConfigurationPage.ts"

describe("the table of settings", () => {
  // Mended by: npx vitest run --project core -u test/config/Keys.test.ts
  it("is docs/configuration.md, key by key", async () => {
    await expect(page(table)).toMatchFileSnapshot("../../docs/configuration.md")
  })

  it("is where the README sends its reader", () => {
    expect(readFileSync(new URL("../../README.md", import.meta.url), "utf8")).toContain(
      "(docs/configuration.md)"
    )
  })

  it("has no key twice", () => {
    const keys = table.map(({ key }) => key)
    expect(new Set(keys).size).toBe(keys.length)
    expect(keys).toContain("shared_files.cleanup.frequency")
    expect(keys).toContain("shared_files.retry.initial")
  })
})

describe("a value as the documentation shows it", () => {
  it.prop("is the value again", [FastCheck.nat(2 ** 31), FastCheck.nat(2 ** 40)], ([seconds, bytes]) => {
    const duration = Schema.decodeUnknownSync(Values.Length)(seconds)
    expect(Schema.decodeSync(Values.Length)(Schema.encodeSync(Values.Length)(duration))).toEqual(duration)
    expect(Schema.decodeSync(Values.Size)(Schema.encodeSync(Values.Size)(bytes))).toBe(bytes)
  })

  it.each(["127.0.0.1:3030", "[::1]:80", "relay.example.com:0"])("is %s", (text) => {
    expect(Schema.encodeSync(Values.Listen)(Schema.decodeSync(Values.Listen)(text))).toBe(text)
  })
})
