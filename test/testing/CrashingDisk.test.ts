import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { DiskService } from "../../src/disk/Disk.ts"
import { CrashingDisk } from "../../src/testing/CrashingDisk.ts"

const seeds = Array.from({ length: 60 }, (_, seed) => seed)

const write = (disk: DiskService, path: string, content: string, options: { readonly sync: boolean }) =>
  Effect.flatMap(disk.create(path, 0o640), (file) =>
    Effect.gen(function* () {
      yield* file.write(Buffer.from(content))
      if (options.sync) yield* file.sync(1_000)
      yield* file.close
    })
  )

const textsOf = (disk: CrashingDisk) =>
  Object.fromEntries(Array.from(disk.files(), ([path, { content }]) => [path, content.toString()]))

/** What is under a path after a stop, over many stops: each that there was, once. */
const outcomes = (disk: CrashingDisk, path: string) =>
  new Set(seeds.map((seed) => textsOf(disk.ifStopped(seed))[path]))

describe("a disk that crashes", () => {
  it.effect("keeps what was synced together with its folder, content and times", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      const { disk } = crashing
      yield* disk.makeFolder("/a", 0o750)
      yield* write(disk, "/a/file", "hello", { sync: true })
      yield* disk.syncFolder("/a")
      yield* disk.syncFolder("/")
      for (const seed of seeds) {
        const after = crashing.ifStopped(seed)
        expect(textsOf(after)).toEqual({ "/a/file": "hello" })
        expect(yield* after.disk.readText("/a/file")).toBe("hello")
        expect(yield* after.disk.status("/a/file")).toMatchObject({ kind: "file", size: 5, modified: 1_000 })
      }
    })
  )

  it.effect("may lose a content that was not synced, or cut it, or spoil it", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      yield* write(crashing.disk, "/file", "hello", { sync: false })
      yield* crashing.disk.syncFolder("/")
      const found = outcomes(crashing, "/file")
      for (const text of ["", "hel", "hello", "?????"]) expect(found).toContain(text)
      expect(found).not.toContain(undefined)
    })
  )

  it.effect(
    "may lose a name whose folder was not synced, and what is in a folder with the folder's name",
    () =>
      Effect.gen(function* () {
        const crashing = CrashingDisk.make()
        yield* write(crashing.disk, "/file", "hello", { sync: true })
        expect(outcomes(crashing, "/file")).toEqual(new Set(["hello", undefined]))
        const other = CrashingDisk.make()
        yield* other.disk.makeFolder("/a", 0o750)
        yield* write(other.disk, "/a/file", "hello", { sync: true })
        yield* other.disk.syncFolder("/a")
        expect(outcomes(other, "/a/file")).toEqual(new Set(["hello", undefined]))
      })
  )

  it.effect("may bring back what was removed", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      yield* write(crashing.disk, "/file", "hello", { sync: true })
      yield* crashing.disk.syncFolder("/")
      yield* crashing.disk.remove("/file")
      expect(textsOf(crashing)).toEqual({})
      expect(outcomes(crashing, "/file")).toEqual(new Set(["hello", undefined]))
    })
  )

  it.effect("renames at once: a name is the old one's or the new one's, and both ends agree", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      const { disk } = crashing
      yield* disk.makeFolder("/a", 0o750)
      yield* write(disk, "/a/file", "old", { sync: true })
      yield* write(disk, "/new", "new", { sync: true })
      for (const folder of ["/a", "/"]) yield* disk.syncFolder(folder)
      yield* disk.rename("/new", "/a/file")
      const found = new Set(seeds.map((seed) => JSON.stringify(textsOf(crashing.ifStopped(seed)))))
      expect(found).toEqual(
        new Set([JSON.stringify({ "/a/file": "old", "/new": "new" }), JSON.stringify({ "/a/file": "new" })])
      )
      yield* disk.syncFolder("/a")
      for (const seed of seeds) expect(textsOf(crashing.ifStopped(seed))).toEqual({ "/a/file": "new" })
    })
  )

  it.effect("may keep a later change of another name without the earlier one, but never of the same", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      const { disk } = crashing
      for (const path of ["/one", "/two"]) yield* write(disk, path, path, { sync: true })
      yield* disk.rename("/two", "/three")
      const found = seeds.map((seed) =>
        Object.keys(textsOf(crashing.ifStopped(seed)))
          .sort()
          .join(" ")
      )
      expect(new Set(found)).toEqual(new Set(["", "/one", "/two", "/three", "/one /two", "/one /three"]))
    })
  )

  it.effect("fails once at the operation that is named, a write in part", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      crashing.failAt(2, "ENOSPC")
      const file = yield* crashing.disk.create("/file", 0o640)
      expect(yield* Effect.flip(file.write(Buffer.from("hello!")))).toMatchObject({ code: "ENOSPC" })
      expect(textsOf(crashing)).toEqual({ "/file": "hel" })
      yield* file.write(Buffer.from("p"))
      expect(textsOf(crashing)).toEqual({ "/file": "help" })
    })
  )

  it.effect("does not have what a failed sync left out, whatever a later one says", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      const file = yield* crashing.disk.create("/file", 0o640)
      yield* crashing.disk.syncFolder("/")
      yield* file.write(Buffer.from("hello"))
      crashing.failWhen(({ kind }) => (kind === "sync" ? "EIO" : undefined))
      expect(yield* Effect.flip(file.sync(1_000))).toMatchObject({ code: "EIO" })
      crashing.failWhen(() => undefined)
      yield* file.sync(1_000)
      expect(outcomes(crashing, "/file")).toContain("")
    })
  )

  it.effect("does nothing any more once it has stopped", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      yield* write(crashing.disk, "/file", "hello", { sync: true })
      yield* crashing.disk.syncFolder("/")
      crashing.stopAt(2)
      expect(yield* crashing.disk.readText("/none")).toBe(undefined)
      expect(crashing.isStopped).toBe(false)
      for (let again = 0; again < 2; again++) {
        const error = yield* Effect.flip(crashing.disk.rename("/file", "/other"))
        expect(error.code).toBe("EIO")
      }
      expect(crashing.isStopped).toBe(true)
      expect(textsOf(crashing)).toEqual({ "/file": "hello" })
      expect(textsOf(crashing.restart(0))).toEqual({ "/file": "hello" })
    })
  )

  it.effect("hands on all that was written when it is the process that was killed, synced or not", () =>
    Effect.gen(function* () {
      const crashing = CrashingDisk.make()
      yield* write(crashing.disk, "/file", "hello", { sync: false })
      const next = crashing.takeOver()
      expect(textsOf(next)).toEqual({ "/file": "hello" })
      expect((yield* Effect.flip(crashing.disk.list("/"))).code).toBe("EIO")
      expect(yield* next.disk.readText("/file")).toBe("hello")
      expect(outcomes(next, "/file")).toContain(undefined)
    })
  )
})
