import { createHash } from "node:crypto"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Runtime, Scheduler, TestClock } from "effect"
import { DiskError, type DiskService } from "../../../src/disk/Disk.ts"
import * as Folders from "../../../src/disk/Folders.ts"
import * as HashCheck from "../../../src/disk/HashCheck.ts"
import { keyOf } from "../../../src/shared-files/file/Location.ts"
import * as Metadata from "../../../src/shared-files/file/Metadata.ts"
import * as IntentLog from "../../../src/shared-files/store/IntentLog.ts"
import * as Intents from "../../../src/shared-files/store/Intents.ts"
import { SharedFileStore } from "../../../src/shared-files/store/SharedFileStore.ts"
import { CrashingDisk } from "../../../src/testing/CrashingDisk.ts"
import { hashOf, metadataOf, pass } from "../../support/Outboxes.ts"
import { listening, locationOf, openDisk, storeLayer, upload } from "../../support/Stores.ts"

const location = locationOf("a")
const path = `/store/${keyOf(location)}`

const has = (content: string, at = location) =>
  Effect.flatMap(SharedFileStore, (store) => store.has(at, hashOf(content)))

type Writes = { readonly writeFileSync: (path: string, content: string | Uint8Array) => void }

/** Without its last line: what is left can be read as metadata. */
const cut = (text: string): string => text.slice(0, text.lastIndexOf("\n", text.length - 2) + 1)

describe("an intent that a stop left", () => {
  it.effect(
    "drops what can't be completed because a link is in its way, completes the rest, and says so",
    () => {
      const { fs, disk } = openDisk()
      const { said, layer } = listening()
      const intend = (target: string) => {
        const record = `${createHash("sha256").update(`${target}/source/a`).digest("hex")}.intent`
        fs.writeFileSync(`/store/~tmp/${target}`, target)
        fs.writeFileSync(`/store/~tmp/${target}.metadata`, Metadata.print(metadataOf(target)))
        fs.writeFileSync(
          `/store/~tmp/${record}`,
          JSON.stringify({
            content: target,
            metadata: `${target}.metadata`,
            folders: [target, "source"],
            file: "a"
          })
        )
      }
      fs.mkdirSync("/store/~tmp", { recursive: true })
      fs.mkdirSync("/elsewhere/source", { recursive: true })
      fs.symlinkSync("/elsewhere", "/store/linked")
      for (const target of ["linked", "target"]) intend(target)
      fs.writeFileSync("/store/~tmp/damaged.intent", "{")
      return Effect.gen(function* () {
        expect(yield* has("target")).toBe(true)
        expect(fs.readdirSync("/elsewhere/source")).toEqual([])
        expect(fs.readdirSync("/store/~tmp")).toEqual([])
        expect(said.join("\n")).toContain("/store/linked")
      }).pipe(Effect.provide(storeLayer(disk).pipe(Layer.provideMerge(layer))))
    }
  )

  /** The intent of a pair, as an older relay noted it, and as this one does. */
  const notes = {
    "an older relay's": (intent: object, fs: Writes) => {
      const record = `${createHash("sha256").update(keyOf(location)).digest("hex")}.intent`
      fs.writeFileSync(`/store/~tmp/${record}`, JSON.stringify(intent))
    },
    "this one's": (intent: object, fs: Writes) => {
      const check = IntentLog.checkOf(Metadata.print(metadataOf("newer")))
      const text = JSON.stringify({ ...intent, check })
      const place = Buffer.alloc(4096, "what was here before\n")
      fs.writeFileSync(
        "/store/~tmp/x.intents",
        Buffer.concat([place, Buffer.from(`${IntentLog.checkOf(text)} ${text}\n`), place])
      )
    }
  }

  /** What a stop left of a file that was to take the place of another: where the content is, where the metadata. */
  for (const [by, note] of Object.entries(notes))
    for (const [what, content, metadata, stored] of [
      ["nothing was moved", "waiting", "waiting", "newer"],
      ["the content was moved, the metadata not", "in place", "waiting", "newer"],
      ["the metadata was moved, the content not", "waiting", "in place", "newer"],
      ["the content is lost, so that it was never decided", "lost", "waiting", "older"],
      ["the metadata is lost, so that it was never decided", "waiting", "lost", "older"],
      ["a part of the content is lost, so that it was never decided", "cut", "waiting", "older"],
      ["a part of the metadata is lost, so that it was never decided", "waiting", "cut", "older"]
    ] as const) {
      // Of what an older relay noted, both files were on the disk before.
      if (metadata === "cut" && by === "an older relay's") continue
      it.effect(`of ${by} leaves a pair that belongs together where ${what}`, () => {
        const { fs, disk } = openDisk()
        fs.mkdirSync("/store/~tmp", { recursive: true })
        fs.mkdirSync("/store/target/source", { recursive: true })
        const intent = { content: "new", metadata: "new.metadata", ...location }
        note(intent, fs)
        const print = (text: string) => Metadata.print(metadataOf(text))
        fs.writeFileSync(path, content === "in place" ? "newer" : "older")
        fs.writeFileSync(`${path}.metadata`, print(metadata === "in place" ? "newer" : "older"))
        if (content === "waiting") fs.writeFileSync("/store/~tmp/new", "newer")
        if (content === "cut") fs.writeFileSync("/store/~tmp/new", "newe")
        if (metadata === "waiting") fs.writeFileSync("/store/~tmp/new.metadata", print("newer"))
        if (metadata === "cut") fs.writeFileSync("/store/~tmp/new.metadata", cut(print("newer")))
        return Effect.gen(function* () {
          yield* SharedFileStore
          expect(fs.readFileSync(path, "utf8")).toBe(stored)
          expect(fs.readFileSync(`${path}.metadata`, "utf8")).toBe(print(stored))
          expect(fs.readdirSync("/store/~tmp")).toEqual([])
        }).pipe(Effect.provide(storeLayer(disk)))
      })
    }
})

describe("an intent that the disk cut off", () => {
  it.effect("is completed when the file is asked for next", () => {
    const crashing = CrashingDisk.make()
    return Effect.gen(function* () {
      yield* upload(location, "older")
      crashing.failWhen(({ kind, paths }) =>
        kind === "rename" && paths[1] === `${path}.metadata` ? "EIO" : undefined
      )
      expect(yield* Effect.flip(upload(location, "newer"))).toMatchObject({ _tag: "StorageError" })
      expect(yield* Effect.flip(has("older"))).toMatchObject({ _tag: "StorageError" })
      crashing.failWhen(() => undefined)
      expect(yield* has("older")).toBe(false)
      expect(yield* has("newer")).toBe(true)
      yield* upload(location, "newest")
      expect(yield* has("newest")).toBe(true)
      expect([...crashing.files().keys()]).toEqual([path, `${path}.metadata`])
    }).pipe(Effect.provide(storeLayer(crashing.disk)))
  })

  it.effect("is tried again until it can be ended, and other files are looked at meanwhile as ever", () => {
    const crashing = CrashingDisk.make()
    return Effect.gen(function* () {
      yield* upload(location, "older")
      yield* upload(locationOf("other"), "other")
      crashing.failWhen(({ kind, paths }) =>
        kind === "rename" && paths[1] === `${path}.metadata` ? "EIO" : undefined
      )
      expect(yield* Effect.flip(upload(location, "newer"))).toMatchObject({ _tag: "StorageError" })
      yield* TestClock.adjust("1 hour")
      expect(yield* has("other", locationOf("other"))).toBe(true)
      expect([...crashing.files().keys()]).toContain(path)
      crashing.failWhen(() => undefined)
      yield* TestClock.adjust("1 minute")
      // Nobody asked for it.
      expect(crashing.file(`${path}.metadata`)?.content.toString()).toBe(Metadata.print(metadataOf("newer")))
      expect([...crashing.files().keys()].filter((each) => each.includes("~tmp"))).toEqual([])
    }).pipe(Effect.provide(storeLayer(crashing.disk)))
  })

  it.effect("has a place in the log to itself until it has ended, whoever commits meanwhile", () => {
    const { fs, disk } = openDisk()
    const places: Array<string> = []
    const underWay = new Set<string>()
    const watched: DiskService = {
      ...disk,
      sequence: (steps) =>
        Effect.suspend(() => {
          const notes = steps.flatMap((step) => (step._tag === "Note" ? [`${step.path} ${step.at}`] : []))
          for (const note of notes) {
            expect(underWay.has(note)).toBe(false)
            underWay.add(note)
            places.push(note)
          }
          return Effect.ensuring(
            Effect.andThen(Effect.yieldNow(), disk.sequence(steps)),
            Effect.sync(() => {
              for (const note of notes) underWay.delete(note)
            })
          )
        })
    }
    return Effect.gen(function* () {
      const names = Array.from({ length: 20 }, (_, at) => `f${at}`)
      yield* Effect.forEach(names, (name) => upload(locationOf(name), name), {
        concurrency: 7,
        discard: true
      })
      expect(places.length).toBe(20)
      expect(new Set(places).size).toBeGreaterThan(1)
      expect(fs.readdirSync("/store/~tmp")).toEqual([])
    }).pipe(Effect.provide(storeLayer(watched)))
  })

  /**
   * One is cut off while the fiber that ends another one yields behind so many steps, if it takes so many: whether it is left
   * for good.
   */
  const cutOffAfter = (steps: number) =>
    Effect.gen(function* () {
      const { disk } = openDisk()
      let isBroken = true
      const broken = () => Effect.fail(new DiskError({ code: "EIO", message: "broken" }))
      const folders = Folders.make(disk, { root: "/store", mode: 0o750, within: [Folders.temporaryName] })
      yield* folders.prepare
      const intents = Intents.make({
        disk: {
          ...disk,
          sequence: (commit) => (isBroken ? broken() : disk.sequence(commit)),
          status: (at) => (isBroken ? broken() : disk.status(at))
        },
        folders,
        hashesTo: HashCheck.make(),
        fileMode: 0o640
      })
      yield* intents.recover
      const cutOff = (file: string) =>
        Effect.suspend(() => {
          isBroken = true
          const held = { name: file, write: () => Effect.void, sync: () => Effect.void }
          const incoming = { ...held, held: () => Buffer.from(file) }
          return intents
            .store(locationOf(file), "/store", incoming, metadataOf(file))
            .pipe(Effect.exit, Effect.andThen(Effect.sync(() => (isBroken = false))))
        })
      yield* cutOff("a")
      const fork = Runtime.runFork(yield* Effect.runtime())
      let step = Number.NEGATIVE_INFINITY
      const scheduler: Scheduler.Scheduler = {
        scheduleTask: (...task) => Scheduler.defaultScheduler.scheduleTask(...task),
        shouldYield: () => {
          if (step++ !== steps) return false
          fork(cutOff("b"))
          return 0
        }
      }
      const mending = yield* intents
        .mend(
          () => (effect) =>
            Effect.ensuring(
              effect,
              Effect.sync(() => (step = Math.max(step, 0)))
            )
        )
        .pipe(Effect.withScheduler(scheduler), Effect.fork)
      for (let times = 0; times < 3; times++) yield* pass("2 seconds")
      const isCutOff = step > steps
      const isLeft = intents.mayBeLeft(() => keyOf(locationOf("b")))
      yield* Fiber.interrupt(mending)
      return { isCutOff, isLeft }
    })

  it.effect("is tried again also where that happens in the moment in which the last one was ended", () =>
    Effect.gen(function* () {
      const left: Array<number> = []
      let steps = 0
      // Until it has ended that one, and waits for the next.
      for (; ; steps++) {
        const { isCutOff, isLeft } = yield* cutOffAfter(steps)
        if (!isCutOff) break
        if (isLeft) left.push(steps)
      }
      expect(left).toEqual([])
      expect(steps).toBeGreaterThan(10)
    })
  )
})
