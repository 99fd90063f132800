/** The outbox where somebody else changes its folders. */
import { userInfo } from "node:os"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Outbox } from "../../../src/shared-files/outbox/Outbox.ts"
import { CrashingDisk } from "../../../src/testing/CrashingDisk.ts"
import { ScriptedUpstream } from "../../../src/testing/ScriptedUpstream.ts"
import { hashOf, nameOf, outboxLayer, upload } from "../../support/Outboxes.ts"
import { openDisk } from "../../support/Stores.ts"

const name = nameOf("file.txt")

const failing = () => {
  const upstream = new ScriptedUpstream()
  upstream.answer = () => "fail"
  return upstream
}

const sizes = Effect.gen(function* () {
  const { entries } = yield* (yield* Outbox).list(10, Option.none())
  return entries.map(({ size }) => size)
})

describe("folders of the outbox that are removed under a relay that runs", () => {
  for (const removed of [
    ["/outbox/~tmp"],
    ["/outbox/entries"],
    ["/outbox/~tmp", "/outbox/entries"],
    ["/outbox"]
  ])
    it.effect(`are made again for the next upload: ${removed.join(" and ")}`, () => {
      const { fs, disk } = openDisk()
      const upstream = failing()
      return Effect.gen(function* () {
        yield* upload(name, "older")
        for (const folder of removed) fs.rmSync(folder, { recursive: true })
        for (const file of [name, nameOf("other.txt")]) expect(yield* upload(file, "newest")).toBe("queued")
        expect(yield* sizes).toEqual([6, 6])
        expect(fs.readdirSync("/outbox/~tmp")).toEqual([])
        expect(Number(fs.statSync("/outbox/~tmp").mode) & 0o777).toBe(0o700)
      }).pipe(Effect.provide(outboxLayer({ upstream, disk })))
    })

  it.effect("are so while a file comes, too: a shard's", () => {
    const { fs, disk } = openDisk()
    const shard = () => `/outbox/entries/${fs.readdirSync("/outbox/entries")[0]}`
    return Effect.gen(function* () {
      yield* upload(name, "older")
      fs.rmSync(shard(), { recursive: true })
      expect(yield* upload(name, "newest")).toBe("queued")
      expect(fs.readdirSync(shard()).filter((file) => String(file).endsWith(".entry"))).toHaveLength(1)
    }).pipe(Effect.provide(outboxLayer({ upstream: failing(), disk })))
  })

  it.effect("are on the disk before an entry in them counts", () => {
    const crashing = CrashingDisk.make()
    return Effect.gen(function* () {
      const { disk } = crashing
      for (const folder of ["/outbox/~tmp", "/outbox/entries", "/outbox"]) yield* disk.removeFolder(folder)
      expect(yield* upload(name, "hello")).toBe("queued")
      for (let seed = 0; seed < 20; seed++) {
        const { disk: survivor } = crashing.ifStopped(seed)
        const isThere = Effect.flatMap(Outbox, (outbox) => outbox.has(name, hashOf("hello")))
        const restarted = outboxLayer({ upstream: failing(), disk: survivor })
        expect(yield* isThere.pipe(Effect.provide(restarted))).toBe(true)
      }
    }).pipe(Effect.provide(outboxLayer({ upstream: failing(), disk: crashing.disk })))
  })
})

describe("an outbox whose folder can't be used", () => {
  it.effect("is no start, and it is said whose folder it is", () => {
    const { fs, disk } = openDisk()
    fs.writeFileSync("/outbox", "in the way")
    return Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.provide(Outbox, outboxLayer({ upstream: failing(), disk })))
      expect(error).toMatchObject({ _tag: "FolderUnusable", folder: "/outbox" })
      expect(error.message).toContain("/outbox")
      expect(error.message).toContain(userInfo().username)
    })
  })

  it.effect("is told of by its status where it was removed under a relay that runs", () => {
    const { fs, disk } = openDisk()
    return Effect.gen(function* () {
      fs.rmSync("/outbox", { recursive: true })
      expect((yield* (yield* Outbox).status).problem).toEqual(Option.some("/outbox/~tmp is not there"))
    }).pipe(Effect.provide(outboxLayer({ upstream: failing(), disk })))
  })
})
