import { createHash } from "node:crypto"
import { userInfo } from "node:os"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, TestClock } from "effect"
import type { DiskService } from "../../../src/disk/Disk.ts"
import { NodeId } from "../../../src/NodeId.ts"
import { keyOf, locate } from "../../../src/shared-files/file/Location.ts"
import * as Metadata from "../../../src/shared-files/file/Metadata.ts"
import { SharedFileStore } from "../../../src/shared-files/store/SharedFileStore.ts"
import { CrashingDisk } from "../../../src/testing/CrashingDisk.ts"
import { hashOf, metadataOf, nameOf, rest } from "../../support/Outboxes.ts"
import { listening, locationOf, openDisk, storeLayer, upload } from "../../support/Stores.ts"

const location = locationOf("a")
const path = `/store/${keyOf(location)}`

const has = (content: string, at = location) =>
  Effect.flatMap(SharedFileStore, (store) => store.has(at, hashOf(content)))

type Removes = { readonly rmSync: (path: string, options?: { readonly recursive: boolean }) => void }

const expiring = (seconds: number) => ({ expires: Option.some(seconds) })
const signedAt = (date: string) => ({
  date: Option.some(date),
  scope: Option.some({ requestSignature: "00", ttl: "" })
})

describe("SharedFileStore", () => {
  it.effect("keeps a file and its metadata, in folders and files for owner and group", () => {
    const { fs, disk } = openDisk()
    return Effect.gen(function* () {
      yield* upload(location, "hello")
      expect(fs.readFileSync(path, "utf8")).toBe("hello")
      expect(Metadata.parse(String(fs.readFileSync(`${path}.metadata`, "utf8")))).toEqual(
        Option.some(metadataOf("hello"))
      )
      const modeOf = (at: string) => Number(fs.statSync(at).mode) & 0o777
      for (const file of [path, `${path}.metadata`]) expect(modeOf(file)).toBe(0o640)
      for (const folder of ["/store", "/store/~tmp", "/store/target", "/store/target/source"])
        expect(modeOf(folder)).toBe(0o750)
      expect(fs.readdirSync("/store/~tmp")).toEqual([])
    }).pipe(Effect.provide(storeLayer(disk)))
  })

  it.effect("gives each that comes in a name that no other has, nor one of the process before", () => {
    const { disk } = openDisk()
    const names = Effect.flatMap(SharedFileStore, ({ begin }) => Effect.replicateEffect(begin, 3)).pipe(
      Effect.map((all) => all.map(({ name }) => name)),
      Effect.scoped,
      Effect.provide(storeLayer(disk))
    )
    return Effect.gen(function* () {
      expect(new Set([...(yield* names), ...(yield* names)]).size).toBe(6)
    })
  })

  it.effect("stores in either layout, below the relays on the way", () => {
    const { fs, disk } = openDisk()
    const relays = ["relay1", "relay2"].map((id) => NodeId.make(id))
    const name = nameOf("a", "target")
    return Effect.gen(function* () {
      for (const layout of ["tree", "rudder"] as const)
        for (const hops of [[], relays]) {
          yield* upload(locate(layout, hops, name), `${layout} ${hops.length}`)
          expect(yield* has(`${layout} ${hops.length}`, locate(layout, hops, name))).toBe(true)
        }
      const contentOf = (file: string) => fs.readFileSync(`/store/${file}`, "utf8")
      expect(contentOf("target/source/a")).toBe("tree 0")
      expect(contentOf("relay1/relay2/target/source/a")).toBe("tree 2")
      expect(contentOf("target/files/source/a")).toBe("rudder 0")
      expect(contentOf("relay1/shared-files/relay2/shared-files/target/files/source/a")).toBe("rudder 2")
      expect(contentOf("target/files/source/a.metadata")).toContain("header=rudder-signature-v1\n")
    }).pipe(Effect.provide(storeLayer(disk)))
  })

  it.effect("keeps, of two uploads, the one whose request began later, however they end", () =>
    Effect.gen(function* () {
      const store = yield* SharedFileStore
      const commit = (content: string) =>
        Effect.gen(function* () {
          const turn = yield* store.turn(location)
          const incoming = yield* store.begin
          yield* incoming.write(Buffer.from(content))
          return store.commit(location, turn, incoming, metadataOf(content))
        })
      const earlier = yield* commit("earlier")
      const later = yield* commit("later")
      yield* later
      yield* earlier
      expect(yield* has("later")).toBe(true)
      expect(yield* has("earlier")).toBe(false)
    }).pipe(Effect.scoped, Effect.provide(storeLayer(openDisk().disk)))
  )

  it.effect("replaces what was sent with scope only by what was signed with scope, and not earlier", () =>
    Effect.gen(function* () {
      yield* upload(location, "first", signedAt("2026-01-05T09:00:00Z"))
      for (const more of [{}, signedAt("2026-01-05T08:59:59Z")])
        expect(yield* Effect.flip(upload(location, "second", more))).toMatchObject({
          _tag: "BadSignature",
          reason: "stale"
        })
      expect(yield* has("first")).toBe(true)
      yield* upload(location, "third", signedAt("2026-01-05T10:00:00+01:00"))
      expect(yield* has("third")).toBe(true)
    }).pipe(Effect.provide(storeLayer(openDisk().disk)))
  )

  it.effect("leaves nothing of an upload whose sender has gone", () => {
    const { fs, disk } = openDisk()
    return Effect.gen(function* () {
      const store = yield* SharedFileStore
      const fiber = yield* Effect.fork(
        Effect.gen(function* () {
          const incoming = yield* store.begin
          // So much that it does not stay in memory until all of it is there.
          yield* incoming.write(Buffer.alloc(100_000))
          return yield* Effect.never
        }).pipe(Effect.scoped)
      )
      yield* rest
      expect(fs.readdirSync("/store/~tmp")).toHaveLength(1)
      yield* Fiber.interrupt(fiber)
      expect(fs.readdirSync("/store/~tmp")).toEqual([])
    }).pipe(Effect.provide(storeLayer(disk)))
  })
})

describe("has", () => {
  it.effect("knows nothing of other names, other contents and files whose metadata is none", () => {
    const { fs, disk } = openDisk()
    return Effect.gen(function* () {
      yield* upload(location, "hello")
      expect(yield* has("hello", locationOf("b"))).toBe(false)
      expect(yield* has("hello", locationOf("a", "other"))).toBe(false)
      expect(yield* has("other")).toBe(false)
      fs.writeFileSync(`${path}.metadata`, "header=something\n")
      expect(yield* has("hello")).toBe(false)
      fs.unlinkSync(`${path}.metadata`)
      expect(yield* has("hello")).toBe(false)
    }).pipe(Effect.provide(storeLayer(disk)))
  })

  it.effect("hashes again what was cut, replaced or touched behind its back", () => {
    const { fs, disk } = openDisk()
    return Effect.gen(function* () {
      yield* upload(location, "hello")
      const { mtime } = fs.statSync(path)
      fs.truncateSync(path, 4)
      fs.utimesSync(path, mtime, mtime)
      expect(yield* has("hello")).toBe(false)
      fs.writeFileSync(path, "jello")
      expect(yield* has("hello")).toBe(false)
      expect(yield* has("jello")).toBe(false)
      fs.writeFileSync(path, "hello")
      expect(yield* has("hello")).toBe(true)
    }).pipe(Effect.provide(storeLayer(disk)))
  })

  it.effect("is no content that somebody removes before it is read again", () => {
    const { fs, disk } = openDisk()
    const read: DiskService["read"] = (file) => {
      fs.rmSync(file)
      return disk.read(file)
    }
    return Effect.gen(function* () {
      yield* upload(location, "hello")
      fs.utimesSync(path, 1, 1)
      expect(yield* has("hello")).toBe(false)
    }).pipe(Effect.provide(storeLayer({ ...disk, read })))
  })

  it.effect(
    "reads nothing of a content that is as it was left, unless it was stored under another hash",
    () => {
      const { disk } = openDisk()
      const read: Array<string> = []
      const watched: DiskService = {
        ...disk,
        read: (file) => {
          read.push(file)
          return disk.read(file)
        }
      }
      const sha256 = (content: string) => ({
        algorithm: "sha256" as const,
        hex: createHash("sha256").update(content).digest("hex")
      })
      return Effect.gen(function* () {
        const store = yield* SharedFileStore
        yield* upload(location, "hello")
        expect(yield* has("hello")).toBe(true)
        expect(read).toEqual([])
        expect(yield* store.has(location, sha256("hello"))).toBe(true)
        expect(yield* store.has(location, sha256("jello"))).toBe(false)
        expect(read).toEqual([path, path])
      }).pipe(Effect.provide(storeLayer(watched)))
    }
  )

  it.effect("vouches for a file until its ttl has passed", () =>
    Effect.gen(function* () {
      yield* upload(location, "hello", expiring(60))
      yield* TestClock.adjust("59999 millis")
      expect(yield* has("hello")).toBe(true)
      yield* TestClock.adjust("1 millis")
      expect(yield* has("hello")).toBe(false)
    }).pipe(Effect.provide(storeLayer(openDisk().disk)))
  )
})

describe("lookAt", () => {
  it.effect("tells what a look at the disk tells, and leaves the rest to who may wait and read", () => {
    const { fs, disk } = openDisk()
    return Effect.gen(function* () {
      const store = yield* SharedFileStore
      const atOnce = (content: string, at = location) => store.lookAt?.(at, hashOf(content))()
      yield* upload(location, "hello", expiring(Math.ceil(Date.now() / 1000) + 150))
      // Nobody has read the metadata yet, and then they are too new.
      expect([atOnce("hello"), yield* has("hello"), atOnce("hello")]).toEqual([undefined, true, undefined])
      yield* TestClock.adjust("1 minute")
      expect([atOnce("hello"), yield* has("hello"), atOnce("hello")]).toEqual([undefined, true, true])
      expect(atOnce("other")).toBe(false)
      expect(atOnce("hello", locationOf("b"))).toBe(false)
      expect(atOnce("hello", locationOf("a", "other"))).toBe(false)
      // Somebody else is at the file.
      yield* Effect.scoped(
        Effect.andThen(store.turn(location), () => expect(atOnce("hello")).toBeUndefined())
      )
      expect(atOnce("hello")).toBe(true)
      const { mtime } = fs.statSync(path)
      fs.writeFileSync(path, "longer than it was")
      fs.utimesSync(path, mtime, mtime)
      expect([atOnce("hello"), yield* has("hello")]).toEqual([undefined, false])
      fs.writeFileSync(path, "hello")
      fs.utimesSync(path, mtime, mtime)
      expect(atOnce("hello")).toBe(true)
      yield* TestClock.adjust("2 minutes")
      expect(atOnce("hello")).toBe(false)
      fs.renameSync(path, "/moved")
      expect(atOnce("hello")).toBe(false)
      fs.symlinkSync("/moved", path)
      expect(atOnce("hello")).toBeUndefined()
      expect(yield* Effect.flip(has("hello"))).toMatchObject({ _tag: "StorageError" })
    }).pipe(
      Effect.provide(storeLayer(disk)),
      // The disk's clock is the machine's.
      (test) => Effect.andThen(TestClock.setTime(Date.now()), test)
    )
  })
})

describe("lookAt of a batch", () => {
  /** A store with two files, all of which has been there for a minute, and the paths at which it looks. */
  const settled = () => {
    const { fs, disk } = openDisk()
    const looked: Array<string> = []
    const look: DiskService["look"] = (path) => {
      looked.push(path)
      return disk.look(path)
    }
    const store = Effect.gen(function* () {
      for (const [fileId, content] of [
        ["a", "hello"],
        ["b", "world"]
      ] as const) {
        yield* upload(locationOf(fileId), content, expiring(Math.ceil(Date.now() / 1000) + 150))
        yield* TestClock.adjust("1 minute")
        expect(yield* has(content, locationOf(fileId))).toBe(true)
      }
      const { lookAt } = yield* SharedFileStore
      looked.length = 0
      return (batch: { isGoing: boolean } | undefined, content: string, at = location) =>
        lookAt?.(at, hashOf(content))(batch)
    })
    const running = <A, E>(test: Effect.Effect<A, E, SharedFileStore>) =>
      Effect.andThen(TestClock.setTime(Date.now()), Effect.provide(test, storeLayer({ ...disk, look })))
    return { fs, looked, store, running }
  }
  const begins = () => ({ isGoing: true })

  it.effect("looks at each path once for all who ask, for several files too", () => {
    const { looked, store, running } = settled()
    return running(
      Effect.gen(function* () {
        const lookAt = yield* store
        const batch = begins()
        const other = locationOf("b")
        expect([lookAt(batch, "hello"), lookAt(batch, "world", other), lookAt(batch, "hello")]).toEqual([
          true,
          true,
          true
        ])
        expect([lookAt(batch, "other"), lookAt(batch, "hello", other)]).toEqual([false, false])
        expect(lookAt(batch, "hello", locationOf("c"))).toBe(false)
        expect(looked).toEqual([...new Set(looked)])
        expect(looked).toContain(path)
        const before = looked.length
        lookAt(undefined, "hello")
        lookAt(undefined, "hello")
        expect(looked.length).toBeGreaterThan(before + 3)
      })
    )
  })

  it.effect("tells what is there after all of them asked, and nothing of it to the next batch", () => {
    const { fs, store, running } = settled()
    return running(
      Effect.gen(function* () {
        const lookAt = yield* store
        const [one, next, third] = [begins(), begins(), begins()]
        expect(lookAt(one, "hello")).toBe(true)
        fs.renameSync(path, "/moved")
        // Those who are in a batch asked before its first look.
        expect(lookAt(one, "hello")).toBe(true)
        expect(lookAt(next, "hello")).toBe(false)
        expect(lookAt(undefined, "hello")).toBe(false)
        fs.renameSync("/moved", path)
        expect([lookAt(next, "hello"), lookAt(third, "hello")]).toEqual([false, true])
        // Over, whoever still has it.
        next.isGoing = false
        expect(lookAt(next, "hello")).toBe(true)
      })
    )
  })

  it.effect("follows no link that a folder, or the file, has become before it", () => {
    const { fs, store, running } = settled()
    return running(
      Effect.gen(function* () {
        const lookAt = yield* store
        expect(lookAt(begins(), "hello")).toBe(true)
        for (const place of ["/store/target", "/store/target/source", path, `${path}.metadata`]) {
          fs.renameSync(place, "/elsewhere")
          fs.symlinkSync("/elsewhere", place)
          const batch = begins()
          for (let time = 0; time < 2; time++) expect(lookAt(batch, "hello"), place).not.toBe(true)
          fs.unlinkSync(place)
          fs.renameSync("/elsewhere", place)
        }
      })
    )
  })

  it.effect("has each file's end by the time at which it is asked for, and waits for who writes it", () => {
    const { store, running } = settled()
    return running(
      Effect.gen(function* () {
        const lookAt = yield* store
        const service = yield* SharedFileStore
        const batch = begins()
        expect(lookAt(batch, "hello")).toBe(true)
        yield* Effect.scoped(
          Effect.andThen(service.turn(location), () => {
            expect(lookAt(batch, "hello")).toBeUndefined()
            expect(lookAt(batch, "world", locationOf("b"))).toBe(true)
          })
        )
        expect(lookAt(batch, "hello")).toBe(true)
        yield* TestClock.adjust("2 minutes")
        expect(lookAt(batch, "hello")).toBe(false)
      })
    )
  })
})

describe("links below the store", () => {
  for (const [what, place] of [
    ["the target's folder", "/store/target"],
    ["the source's folder", "/store/target/source"],
    ["the file", path],
    ["its metadata", `${path}.metadata`]
  ] as const)
    it.effect(`are not followed: ${what}`, () => {
      const { fs, disk } = openDisk()
      const { said, layer } = listening()
      fs.mkdirSync("/store/target/source", { recursive: true })
      fs.mkdirSync("/elsewhere")
      fs.writeFileSync("/elsewhere/a", "theirs")
      const leadsTo = place.startsWith(path) ? "/elsewhere/a" : "/elsewhere"
      if (place === path) fs.writeFileSync(`${path}.metadata`, Metadata.print(metadataOf("theirs")))
      if (leadsTo === "/elsewhere") fs.rmSync(place, { recursive: true })
      fs.symlinkSync(leadsTo, place)
      return Effect.gen(function* () {
        expect(yield* Effect.flip(has("theirs"))).toMatchObject({ _tag: "StorageError" })
        expect(yield* Effect.flip(upload(location, "hello"))).toMatchObject({ _tag: "StorageError" })
        if (place !== `${path}.metadata`) expect(said.join("\n")).toContain(place)
        expect(fs.readdirSync("/elsewhere")).toEqual(["a"])
        expect(fs.readFileSync("/elsewhere/a", "utf8")).toBe("theirs")
        expect(fs.readdirSync("/store/~tmp")).toEqual([])
      }).pipe(Effect.provide(storeLayer(disk).pipe(Layer.provideMerge(layer))))
    })

  it.effect("are not replaced where there is a link alone", () => {
    const { fs, disk } = openDisk()
    fs.mkdirSync("/store/target/source", { recursive: true })
    fs.mkdirSync("/elsewhere")
    fs.symlinkSync("/elsewhere/a", path)
    return Effect.gen(function* () {
      expect(yield* Effect.flip(upload(location, "hello"))).toMatchObject({
        _tag: "StorageError",
        message: expect.stringContaining(path)
      })
      expect(fs.readlinkSync(path)).toBe("/elsewhere/a")
      expect(fs.readdirSync("/store/target/source")).toEqual(["a"])
      expect(fs.readdirSync("/store/~tmp")).toEqual([])
      fs.unlinkSync(path)
      yield* upload(location, "hello")
      expect(yield* has("hello")).toBe(true)
    }).pipe(Effect.provide(storeLayer(disk)))
  })

  it.effect("are not followed by the clean-up", () => {
    const { fs, disk } = openDisk()
    fs.mkdirSync("/store", { recursive: true })
    fs.mkdirSync("/elsewhere")
    fs.writeFileSync("/elsewhere/a", "theirs")
    fs.writeFileSync("/elsewhere/a.metadata", Metadata.print(metadataOf("theirs", expiring(0))))
    fs.symlinkSync("/elsewhere", "/store/target")
    return Effect.gen(function* () {
      yield* (yield* SharedFileStore).cleanUp
      expect(fs.readdirSync("/elsewhere")).toEqual(["a", "a.metadata"])
    }).pipe(Effect.provide(storeLayer(disk)))
  })
})

describe("a disk that is full, or breaks", () => {
  it.effect("is full when less than min_free would be left", () => {
    const disk: DiskService = { ...openDisk().disk, free: () => Effect.succeed(1_000) }
    return Effect.gen(function* () {
      const { checkRoom } = yield* SharedFileStore
      yield* checkRoom(400)
      expect(yield* Effect.flip(checkRoom(401))).toMatchObject({ _tag: "StorageFull" })
    }).pipe(Effect.provide(storeLayer(disk, { minFree: 600 })))
  })

  /** Replaces a file on a disk that is full at one of the operations that need room, and looks what is there. */
  const replacing = (at: number) => {
    const crashing = CrashingDisk.make()
    const needsRoom = new Set(["open", "write", "sync", "rename"])
    let count = 0
    return Effect.gen(function* () {
      yield* upload(location, "older")
      crashing.failWhen(({ kind }) => (needsRoom.has(kind) && ++count === at ? "ENOSPC" : undefined))
      const result = yield* Effect.either(upload(location, "newer"))
      crashing.failWhen(() => undefined)
      const kept = { older: yield* has("older"), newer: yield* has("newer") }
      const temporary = [...crashing.files().keys()].filter((file) => file.startsWith("/store/~tmp/"))
      return { result, kept, temporary, hasFailed: count >= at }
    }).pipe(Effect.provide(storeLayer(crashing.disk)))
  }

  it.effect(
    "leaves the old file whole and nothing of the new one when there is no room before it is in place",
    () =>
      Effect.gen(function* () {
        let refused = 0
        for (let at = 1; ; at++) {
          const { result, kept, temporary, hasFailed } = yield* replacing(at)
          if (!hasFailed) break
          expect(result).toMatchObject({ _tag: "Left", left: { _tag: "StorageFull" } })
          expect(kept.older, String(at)).toBe(!kept.newer)
          expect(temporary, String(at)).toEqual([])
          if (kept.older) refused++
        }
        expect(refused).toBeGreaterThan(10)
      })
  )
})

describe("a check while the file is being stored", () => {
  it.effect("waits until content and metadata are there, and tells of the new file", () => {
    const crashing = CrashingDisk.make()
    const test = Effect.gen(function* () {
      yield* upload(location, "older")
      expect(yield* has("older")).toBe(true)
      const context = yield* Effect.context<SharedFileStore>()
      const asked: Array<Fiber.RuntimeFiber<boolean, unknown>> = []
      crashing.onOperation = ({ kind, paths }) => {
        // The content is in its place, and the metadata are not yet.
        if (kind !== "rename" || paths[1] !== `${path}.metadata`) return
        crashing.onOperation = () => {}
        for (const content of ["older", "newer"])
          asked.push(Effect.runFork(Effect.provide(has(content), context)))
      }
      yield* upload(location, "newer")
      expect(yield* Effect.forEach(asked, Fiber.join)).toEqual([false, true])
    })
    // It is so long ago that the disk changed that a look tells what the metadata say.
    return Effect.andThen(
      TestClock.setTime(Date.now() + 60_000),
      Effect.provide(test, storeLayer(crashing.disk))
    )
  })
})

describe("folders that are removed under a relay that runs", () => {
  for (const [what, length] of [
    ["held in memory", 10],
    ["written already", 100_000]
  ] as const)
    it.effect(`are made again for the upload that is being committed: ${what}`, () => {
      const { fs, disk } = openDisk()
      const location = locationOf("file")
      const content = "x".repeat(length)
      /** What is done right before the files of an upload are moved. */
      let meanwhile = () => {}
      const watched: DiskService = {
        ...disk,
        sequence: (steps) =>
          Effect.gen(function* () {
            const moves = steps.findIndex(({ _tag }) => _tag === "Rename")
            yield* disk.sequence(steps.slice(0, moves))
            meanwhile()
            yield* disk.sequence(steps.slice(moves))
          })
      }
      return Effect.gen(function* () {
        yield* upload(locationOf("other"), "other")
        meanwhile = () => {
          meanwhile = () => {}
          fs.rmSync("/store/target", { recursive: true })
        }
        yield* upload(location, content)
        expect(fs.readFileSync("/store/target/source/file", "utf8")).toBe(content)
        expect(fs.existsSync("/store/target/source/file.metadata")).toBe(true)
        expect(fs.readdirSync("/store/~tmp")).toEqual([])
        // Who removes the files themselves, too, is told that they are gone.
        meanwhile = () => {
          for (const folder of ["target", "~tmp"])
            fs.rmSync(`/store/${folder}`, { recursive: true, force: true })
        }
        expect(yield* Effect.flip(upload(location, content))).toMatchObject({ _tag: "StorageError" })
      }).pipe(Effect.provide(storeLayer(watched)))
    })

  for (const [what, remove] of [
    ["its content", (fs: Removes, name: string) => fs.rmSync(`/store/~tmp/${name}`)],
    ["~tmp", (fs: Removes) => fs.rmSync("/store/~tmp", { recursive: true })]
  ] as const)
    it.effect(`leave the file that was there whole where an upload loses ${what}`, () => {
      const { fs, disk } = openDisk()
      return Effect.gen(function* () {
        const store = yield* SharedFileStore
        yield* upload(location, "older")
        const turn = yield* store.turn(location)
        const incoming = yield* store.begin
        const newer = "x".repeat(100_000)
        yield* incoming.write(Buffer.from(newer))
        remove(fs, incoming.name)
        expect(yield* Effect.flip(store.commit(location, turn, incoming, metadataOf(newer)))).toMatchObject({
          _tag: "StorageError"
        })
        expect(yield* has("older")).toBe(true)
        expect(fs.readdirSync("/store/~tmp").filter((name) => String(name).endsWith(".metadata"))).toEqual([])
        yield* upload(location, "newest")
        expect(yield* has("newest")).toBe(true)
      }).pipe(Effect.scoped, Effect.provide(storeLayer(disk)))
    })

  for (const removed of [["/store/~tmp"], ["/store/target"], ["/store/~tmp", "/store/target"], ["/store"]])
    it.effect(`are made again for the next upload: ${removed.join(" and ")}`, () => {
      const { fs, disk } = openDisk()
      return Effect.gen(function* () {
        yield* upload(location, "older")
        for (const folder of removed) fs.rmSync(folder, { recursive: true })
        yield* upload(location, "newer")
        expect(yield* has("newer")).toBe(true)
        expect(yield* (yield* SharedFileStore).problem).toEqual(Option.none())
        expect(Number(fs.statSync("/store/~tmp").mode) & 0o777).toBe(0o750)
      }).pipe(Effect.provide(storeLayer(disk)))
    })

  it.effect("are on the disk before a file in them counts", () => {
    const crashing = CrashingDisk.make()
    return Effect.gen(function* () {
      const { disk } = crashing
      yield* Effect.andThen(disk.removeFolder("/store/~tmp"), disk.removeFolder("/store"))
      yield* upload(location, "hello")
      for (let seed = 0; seed < 20; seed++) {
        const { disk: survivor } = crashing.ifStopped(seed)
        expect(yield* has("hello").pipe(Effect.provide(storeLayer(survivor)))).toBe(true)
      }
    }).pipe(Effect.provide(storeLayer(crashing.disk)))
  })
})

describe("a start", () => {
  it.effect("is none on a folder that can't be made, and it is said whose folder it is", () => {
    const { fs, disk } = openDisk()
    fs.writeFileSync("/store", "in the way")
    return Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.provide(SharedFileStore, storeLayer(disk)))
      expect(error).toMatchObject({ _tag: "FolderUnusable", folder: "/store" })
      expect(error.message).toContain(userInfo().username)
    })
  })
})

describe("remove", () => {
  const removed = Effect.flatMap(SharedFileStore, (store) => store.remove(location))

  it.effect("keeps an upload that began before from bringing the file back", () =>
    Effect.gen(function* () {
      const store = yield* SharedFileStore
      yield* upload(location, "stored")
      const turn = yield* store.turn(location)
      const incoming = yield* store.begin
      yield* incoming.write(Buffer.from("earlier"))
      expect(yield* removed).toBe(true)
      yield* store.commit(location, turn, incoming, metadataOf("earlier"))
      expect(yield* has("earlier")).toBe(false)
      yield* upload(location, "later")
      expect(yield* has("later")).toBe(true)
    }).pipe(Effect.scoped, Effect.provide(storeLayer(openDisk().disk)))
  )

  it.effect("leaves an upload that began before alone where there is nothing to remove", () =>
    Effect.gen(function* () {
      const store = yield* SharedFileStore
      const turn = yield* store.turn(location)
      const incoming = yield* store.begin
      yield* incoming.write(Buffer.from("first"))
      expect(yield* removed).toBe(false)
      yield* store.commit(location, turn, incoming, metadataOf("first"))
      expect(yield* has("first")).toBe(true)
    }).pipe(Effect.scoped, Effect.provide(storeLayer(openDisk().disk)))
  )

  it.effect("is on the disk when it returns, and can be asked for again where a stop cut it off", () =>
    Effect.gen(function* () {
      for (let stop = 1; ; stop++) {
        const before = CrashingDisk.make()
        yield* Effect.provide(upload(location, "stored"), storeLayer(before.disk))
        before.stopAt(before.operations.length + stop)
        const outcome = yield* Effect.exit(Effect.provide(removed, storeLayer(before.disk)))
        const wasStopped = before.isStopped
        const after = before.restart(stop)
        const again = yield* Effect.provide(
          Effect.gen(function* () {
            return { has: yield* has("stored"), removed: yield* removed }
          }),
          storeLayer(after.disk)
        )
        expect([after.file(path), after.file(`${path}.metadata`)]).toEqual([undefined, undefined])
        if (Exit.isFailure(outcome)) continue
        expect([outcome.value, again]).toEqual([true, { has: false, removed: false }])
        if (!wasStopped) return
      }
    })
  )
})
