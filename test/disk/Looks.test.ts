import { describe, expect, it } from "@effect/vitest"
import { Either } from "effect"
import type { DiskStatus } from "../../src/disk/Disk.ts"
import * as Looks from "../../src/disk/Looks.ts"

/** A disk on which something is at every path, at each look another thing. */
const changing = () => {
  const looked: Array<string> = []
  const look = (path: string) => {
    const status: DiskStatus = { kind: "file", size: 0, modified: 0, inode: looked.push(path), changed: 0 }
    return Either.right(status)
  }
  return { looked, disk: { look } }
}

describe("the looks of a batch", () => {
  it("are one at each path, and others than those of the next", () => {
    const { looked, disk } = changing()
    let now = 5
    const looksOf = Looks.ofBatches(disk, () => now)
    const [one, other] = [{ isGoing: true }, { isGoing: true }]
    const first = looksOf(one)
    now = 6
    for (const path of ["/a", "/b", "/a"]) expect(looksOf(one)?.look(path)).toEqual(first?.look(path))
    expect(looked).toEqual(["/a", "/b"])
    // Before the first of them, whenever it is asked for.
    expect(looksOf(one)?.since).toBe(5)
    expect(looksOf(other)?.look("/a")).not.toEqual(first?.look("/a"))
    expect(looked).toEqual(["/a", "/b", "/a"])
    expect(looksOf(other)?.since).toBe(6)
  })

  it("are nobody's who is alone, or whose batch is over", () => {
    const looksOf = Looks.ofBatches(changing().disk, () => 0)
    const batch = { isGoing: true }
    expect(looksOf(batch)).toBeDefined()
    batch.isGoing = false
    expect([looksOf(batch), looksOf(undefined)]).toEqual([undefined, undefined])
  })
})
