import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { table } from "../../src/config/Keys.ts"
import { distance, nearest } from "../../src/config/Nearest.ts"

const keys = table.map(({ key }) => key)

describe("the nearest known key", () => {
  it.each([
    ["remote_run.max_concurent", "remote_run.max_concurrent"],
    ["shared_file.path", "shared_files.path"],
    ["remote_run.min_free", "shared_files.min_free"],
    ["general.Listen", "general.listen"]
  ])("of %s is %s", (key, expected) => {
    expect(nearest(key, keys)).toBe(expected)
  })

  it.each(["reports.x.y", "general.colour", `general.${"x".repeat(1_000_000)}`])(
    "of %.20s is none",
    (key) => {
      expect(nearest(key, keys)).toBeUndefined()
    }
  )

  it.prop(
    "is no farther than the letters are many",
    [FastCheck.string({ maxLength: 20 }), FastCheck.string({ maxLength: 20 })],
    ([one, other]) => {
      expect(distance(one, other)).toBe(distance(other, one))
      expect(distance(one, one)).toBe(0)
      expect(distance(one, other)).toBeLessThanOrEqual(Math.max(one.length, other.length))
    }
  )
})
