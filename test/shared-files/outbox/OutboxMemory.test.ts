import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { describe, expect, it } from "@effect/vitest"
import { Clock, Effect, Either, Option } from "effect"
import type { DiskEntry, DiskService } from "../../../src/disk/Disk.ts"
import * as EntryName from "../../../src/shared-files/outbox/EntryName.ts"
import * as EntryTail from "../../../src/shared-files/outbox/EntryTail.ts"
import { Outbox } from "../../../src/shared-files/outbox/Outbox.ts"
import { ScriptedUpstream } from "../../../src/testing/ScriptedUpstream.ts"
import { metadataOf, nameOf, outboxLayer, pass } from "../../support/Outboxes.ts"

const size = 5
const content = Buffer.from("hello")
const record = { name: nameOf("file.txt"), began: 0, accepted: 0, metadata: metadataOf("hello") }
const whole = Buffer.concat([content, EntryTail.print(record, size, EntryTail.check(content))])

/** The n-th entry. @param time when it is due, in milliseconds since 1970 */
const entry = (number: number, time: number): DiskEntry => ({
  name: EntryName.print({
    key: EntryName.printShard(number % EntryName.shardCount) + number.toString(16).padStart(29, "0"),
    order: number.toString(16).padStart(16, "0"),
    size,
    state: "waiting",
    time
  }),
  kind: "file"
})

const range = (from: number, to: number, step: number) =>
  Array.from({ length: Math.max(0, Math.ceil((to - from) / step)) }, (_, index) => from + index * step)

/** Nothing was tried, and all the rest is there. */
const look: DiskService["look"] = (path) =>
  Either.right(
    path.endsWith(".attempts")
      ? undefined
      : {
          kind: path.endsWith(".entry") ? "file" : "folder",
          size: whole.length,
          modified: 0,
          inode: 0,
          changed: 0
        }
  )

/** A disk with so many entries, which it makes up whenever it is asked: it holds none itself. Nothing changes it. */
const diskOf = (count: number, time: number): DiskService => ({
  create: () => Effect.die("nothing is written"),
  rename: () => Effect.void,
  remove: () => Effect.void,
  makeFolder: () => Effect.void,
  removeFolder: () => Effect.void,
  syncFile: () => Effect.void,
  syncFolder: () => Effect.void,
  list: (path) =>
    Effect.sync(() => {
      if (path === "/outbox/entries")
        return range(0, EntryName.shardCount, 1).map((shard) => ({
          name: EntryName.printShard(shard),
          kind: "folder" as const
        }))
      const [, shard] = /^\/outbox\/entries\/([0-9a-f]{3})$/.exec(path) ?? []
      return shard === undefined
        ? []
        : range(Number.parseInt(shard, 16), count, EntryName.shardCount).map((number) => entry(number, time))
    }),
  sequence: () => Effect.void,
  names: (path) =>
    Effect.sync(() => {
      const shard = Number.parseInt(path.slice(-3), 16)
      return range(shard, count, EntryName.shardCount).map((number) => entry(number, time).name)
    }),
  status: (path) => look(path),
  look,
  readText: () => Effect.succeed(undefined),
  readSmall: () => Effect.succeed(whole),
  readEnd: () => Effect.succeed({ bytes: whole, length: whole.length }),
  read: async function* () {
    yield whole
  },
  checkWritable: () => Effect.void,
  free: () => Effect.succeed(Number.MAX_SAFE_INTEGER)
})

setFlagsFromString("--expose-gc")
const collect: unknown = runInNewContext("gc")

/** Bytes that are in use. */
const used = Effect.sync(() => {
  if (typeof collect !== "function") throw new Error("garbage can't be collected on demand")
  for (let again = 0; again < 3; again++) collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
})

/** What an outbox with so many entries holds in memory: once it has looked at all of them, and been asked for them. */
const held = (count: number) =>
  Effect.gen(function* () {
    const upstream = new ScriptedUpstream()
    upstream.answer = () => "hang"
    const due = (yield* Clock.currentTimeMillis) + 60_000
    const before = yield* used
    return yield* Effect.gen(function* () {
      const { list, retry, status } = yield* Outbox
      expect((yield* status).waiting).toEqual({ entries: count, bytes: count * size })
      yield* pass("30 seconds")
      expect(upstream.attempts).toBe(0)
      expect((yield* list(10, Option.none())).entries).toHaveLength(10)
      expect(yield* retry).toBe(count)
      yield* pass("30 seconds")
      expect(upstream.attempts).toBe(1)
      return (yield* used) - before
    }).pipe(Effect.provide(outboxLayer({ upstream, disk: diskOf(count, due) })))
  })

describe("what the outbox holds in memory", () => {
  it.effect(
    "is the same for 100,000 entries that wait as for 1,000",
    () =>
      Effect.gen(function* () {
        // What is made once, whatever there is; and the code that the engine compiles for so many.
        yield* held(10_000)
        const few = yield* held(1_000)
        // The lesser of two: what the engine notes of code while it runs is no entry's.
        const many = Math.min(yield* held(100_000), yield* held(100_000))
        // A name alone would be some 70 bytes.
        expect((many - few) / 99_000).toBeLessThan(20)
      }),
    300_000
  )
})
