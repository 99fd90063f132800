import { describe, expect, it } from "@effect/vitest"
import { FastCheck, Option } from "effect"
import * as EntryName from "../../../src/shared-files/outbox/EntryName.ts"
import { nameOf } from "../../support/Outboxes.ts"

const hex = (digits: number) => FastCheck.stringMatching(new RegExp(`^[0-9a-f]{${digits}}$`))

/** Until the year 10889, which is what 48 bits hold. */
const time = FastCheck.integer({ min: 0, max: 2 ** 48 - 1 })

const anyEntry: FastCheck.Arbitrary<EntryName.EntryName> = FastCheck.record({
  key: hex(32),
  order: hex(16),
  size: FastCheck.integer({ min: 0, max: 10 ** 15 - 1 }),
  time,
  state: FastCheck.constantFrom("waiting" as const, "refused" as const),
  isFolder: FastCheck.boolean()
}).map(({ isFolder, ...entry }) => (isFolder ? { ...entry, isFolder } : entry))

const fileId = FastCheck.stringMatching(/^[A-Za-z0-9_-]{1,20}$/)

describe("an entry's name", () => {
  it.prop("printed is read as the same", [anyEntry], ([entry]) => {
    expect(EntryName.parse(EntryName.print(entry))).toEqual(Option.some(entry))
  })

  it.prop("is short enough, and plain enough, for any file system", [anyEntry], ([entry]) => {
    expect(EntryName.print(entry)).toMatch(/^[0-9a-z.-]{1,255}$/)
  })

  it.prop("is not seen in what is none", [anyEntry, FastCheck.string()], ([entry, more]) => {
    const text = EntryName.print(entry)
    expect(EntryName.parse(more)).toEqual(Option.none())
    expect(EntryName.parse(`.${text}`)).toEqual(Option.none())
    expect(EntryName.parse(`${text}.new`)).toEqual(Option.none())
    expect(EntryName.parse(text.replace(/waiting|refused/, "sent"))).toEqual(Option.none())
  })

  it.prop("has an id that leads back to it, whatever its state", [anyEntry], ([{ key, order }]) => {
    expect(EntryName.parseId(EntryName.idOf({ key, order }))).toEqual(Option.some({ key, order }))
  })

  it.prop("has an id that is no other text", [FastCheck.string()], ([text]) => {
    expect(EntryName.parseId(text)).toEqual(Option.none())
  })
})

describe("a file's key", () => {
  it.prop(
    "is the same for the same name, and another for another",
    [fileId, fileId, fileId, fileId],
    ([file, otherFile, target, otherTarget]) => {
      const one = EntryName.keyOf(nameOf(file, target))
      const other = EntryName.keyOf(nameOf(otherFile, otherTarget))
      expect(one === other).toBe(file === otherFile && target === otherTarget)
    }
  )

  it.prop("leads to one of the folders, whose name leads back", [hex(32)], ([key]) => {
    const shard = EntryName.shardOf(key)
    expect(shard).toBeGreaterThanOrEqual(0)
    expect(shard).toBeLessThan(EntryName.shardCount)
    expect(EntryName.parseShard(EntryName.printShard(shard))).toEqual(Option.some(shard))
    expect(key.startsWith(EntryName.printShard(shard))).toBe(true)
  })

  it("spreads over the folders", () => {
    const shards = Array.from({ length: 40_000 }, (_, index) =>
      EntryName.shardOf(EntryName.keyOf(nameOf(`file-${index}`)))
    )
    const counts = new Map<number, number>()
    for (const shard of shards) counts.set(shard, (counts.get(shard) ?? 0) + 1)
    expect(counts.size).toBeGreaterThan(4000)
    expect(Math.max(...counts.values())).toBeLessThan(40)
  })
})

describe("the order of versions", () => {
  it.prop("goes on when the clock goes back", [FastCheck.array(time, { minLength: 2 })], ([times]) => {
    let latest: string | undefined
    for (const now of times) {
      const next = EntryName.nextOrder(now, latest)
      expect(next).toMatch(/^[0-9a-f]{16}$/)
      if (latest !== undefined) expect(next > latest).toBe(true)
      latest = next
    }
  })

  it.prop("goes on within a millisecond", [time], ([now]) => {
    const first = EntryName.nextOrder(now, undefined)
    const second = EntryName.nextOrder(now, first)
    const third = EntryName.nextOrder(now, second)
    expect(new Set([first, second, third]).size).toBe(3)
    expect([third, first, second].toSorted()).toEqual([first, second, third])
  })

  it.prop("of different files is by the clock", [time, time], ([one, other]) => {
    const [a, b] = [EntryName.nextOrder(one, undefined), EntryName.nextOrder(other, undefined)]
    expect(a < b).toBe(one < other)
  })

  it.prop("says when it was accepted", [time, FastCheck.option(time)], ([now, before]) => {
    const latest = before === null ? undefined : EntryName.nextOrder(before, undefined)
    const accepted = EntryName.acceptedAt({ order: EntryName.nextOrder(now, latest) })
    expect(accepted).toBe(Math.max(now, before ?? 0))
  })

  it.prop("has the newest first", [FastCheck.array(anyEntry)], ([entries]) => {
    const ids = entries.toSorted(EntryName.byAge).map(EntryName.idOf)
    expect(ids).toEqual(entries.map(EntryName.idOf).sort().reverse())
  })
})
