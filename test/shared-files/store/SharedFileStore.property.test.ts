/** The store against a map as the model, whatever its disk does. */
import { createHash } from "node:crypto"
import { describe, expect, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, FastCheck, Fiber, Option, TestClock } from "effect"
import { FolderUnusable } from "../../../src/disk/FolderUnusable.ts"
import * as EventLoop from "../../../src/EventLoop.ts"
import { keyOf, metadataSuffix } from "../../../src/shared-files/file/Location.ts"
import * as Metadata from "../../../src/shared-files/file/Metadata.ts"
import { SharedFileStore } from "../../../src/shared-files/store/SharedFileStore.ts"
import { CrashingDisk } from "../../../src/testing/CrashingDisk.ts"
import { hashOf, metadataOf } from "../../support/Outboxes.ts"
import { FileModel, isExpired, type Version } from "../../support/StoreModel.ts"
import { locationOf, receive, storeLayer } from "../../support/Stores.ts"
import { type Commits, oneByOne, threaded } from "../../support/ThreadedDisk.ts"

type Action =
  | {
      readonly _tag: "Upload"
      readonly name: number
      /** Hours. */
      readonly ttl: number | null
      /** Signed with scope, at this hour. */
      readonly signed: number | null
      readonly pieces: number
      /** The sender leaves after this many turns of the event loop. */
      readonly leaves: number | null
    }
  | { readonly _tag: "Check"; readonly name: number; readonly algorithm: "sha256" | "sha512" }
  | { readonly _tag: "CleanUp" }
  | { readonly _tag: "Pass"; readonly minutes: number }

/** What one process does, and how it ends; actions of a round go on at once. */
interface Life {
  readonly rounds: ReadonlyArray<ReadonlyArray<Action>>
  readonly fault: { readonly kind: "none" | "ENOSPC" | "EIO" | "stop"; readonly at: number }
  readonly end: "killed" | "power cut"
  readonly seed: number
}

const { integer, option, record, constant, constantFrom, oneof, array } = FastCheck

/** Two of them share their folders, a third one part of them. */
const locations = [locationOf("a"), locationOf("b"), locationOf("a", "other")]

const name = integer({ min: 0, max: locations.length - 1 })
const action: FastCheck.Arbitrary<Action> = oneof(
  {
    weight: 5,
    arbitrary: record({
      _tag: constant("Upload" as const),
      name,
      ttl: option(integer({ min: 0, max: 2 })),
      signed: option(integer({ min: 0, max: 3 }), { freq: 2 }),
      pieces: integer({ min: 1, max: 3 }),
      leaves: option(integer({ min: 0, max: 60 }), { freq: 6 })
    })
  },
  {
    weight: 2,
    arbitrary: record({
      _tag: constant("Check" as const),
      name,
      algorithm: constantFrom("sha256" as const, "sha512" as const)
    })
  },
  { weight: 1, arbitrary: constant({ _tag: "CleanUp" as const }) },
  { weight: 1, arbitrary: record({ _tag: constant("Pass" as const), minutes: integer({ min: 1, max: 90 }) }) }
)

const life = (faults: ReadonlyArray<Life["fault"]["kind"]>): FastCheck.Arbitrary<Life> =>
  record({
    rounds: array(array(action, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 }),
    fault: record({ kind: constantFrom(...faults), at: integer({ min: 1, max: 140 }) }),
    end: constantFrom("killed", "power cut"),
    seed: integer()
  })

const hashIn = (algorithm: "sha256" | "sha512", content: string) => ({
  algorithm,
  hex: createHash(algorithm).update(content).digest("hex")
})

/** All that a run of the property knows. */
class World {
  readonly files = locations.map((location) => ({ location, key: keyOf(location), model: new FileModel() }))
  /** Called whenever somebody could look. */
  readonly watchers = new Set<() => void>()
  disk = CrashingDisk.make(0)
  private orders = 0

  constructor() {
    this.next(this.disk)
  }

  next(disk: CrashingDisk): void {
    this.disk = disk
    disk.onOperation = () => {
      this.look()
      for (const watcher of this.watchers) watcher()
    }
  }

  file(at: number) {
    const file = this.files[at]
    if (file === undefined) throw new Error(`no name ${at}`)
    return file
  }

  version(
    now: number,
    { ttl, signed }: { readonly ttl: number | null; readonly signed: number | null }
  ): Version {
    const order = ++this.orders
    // All of one length, so that neither this nor the time tells them apart.
    const content = `version ${String(order).padStart(4, "0")}`
    const date = new Date(signed === null ? now : signed * 3_600_000).toISOString()
    const metadata = metadataOf(content, {
      date: Option.some(date),
      expires: Option.map(Option.fromNullable(ttl), (hours) => Math.ceil(now / 1000) + hours * 3600),
      scope: Option.map(Option.fromNullable(signed), () => ({ requestSignature: "00", ttl: "" }))
    })
    return { content, order, metadata }
  }

  contentOf(key: string): string | undefined {
    return this.disk.file(`/store/${key}`)?.content.toString()
  }

  /** What stands under a name, as who looks past the relay sees it. */
  pair(key: string) {
    const metadata = this.disk.file(`/store/${key}${metadataSuffix}`)
    return {
      content: this.contentOf(key),
      metadata: metadata && Option.getOrUndefined(Metadata.parse(metadata.content.toString()))
    }
  }

  /** A content that is in its place is one that was sent under its name, whole. */
  look(): void {
    for (const { key, model } of this.files) {
      const content = this.contentOf(key)
      if (content !== undefined && !model.sent.some((version) => version.content === content))
        throw new Error(`${key} is ${content}, which nobody sent`)
    }
  }
}

type File = ReturnType<World["file"]>

const piecesOf = (content: string, count: number): ReadonlyArray<string> => {
  const length = Math.ceil(content.length / count)
  return Array.from({ length: count }, (_, at) =>
    content.slice(at * length, at === count - 1 ? undefined : (at + 1) * length)
  )
}

const send = (world: World, file: File, asked: Extract<Action, { _tag: "Upload" }>) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const { model } = file
    const before = model.sent.length
    let version: Version | undefined
    const fiber = yield* Effect.fork(
      Effect.suspend(() => {
        version = world.version(now, asked)
        model.sent.push(version)
        return receive(file.location, piecesOf(version.content, asked.pieces), version.metadata)
      })
    )
    if (asked.leaves !== null) {
      yield* Effect.repeatN(EventLoop.turn, asked.leaves)
      yield* Fiber.interruptFork(fiber)
    }
    const exit = yield* Fiber.await(fiber)
    if (version === undefined) return
    if (Exit.isSuccess(exit)) return model.acknowledged(version)
    if (Exit.isInterrupted(exit)) return model.unacknowledged(version)
    const error = yield* Effect.flip(exit)
    if (error._tag === "BadSignature") return expect(model.mayRefuse(model.sent.slice(before))).toBe(true)
    expect(world.disk.hasFailed, error.message).toBe(true)
    model.unacknowledged(version)
  })

/** What `has` says is so at some moment while it is asked; and what was so all the while, it says. */
const check = (world: World, file: File, algorithm: "sha256" | "sha512") =>
  Effect.gen(function* () {
    const version = file.model.sent.at(-1)
    if (version === undefined) return
    const store = yield* SharedFileStore
    const wasThere = new Set<boolean>()
    const look = () => {
      const { content, metadata } = world.pair(file.key)
      wasThere.add(content === version.content && metadata?.hash.hex === version.metadata.hash.hex)
    }
    look()
    world.watchers.add(look)
    const answer = yield* Effect.option(store.has(file.location, hashIn(algorithm, version.content)))
    world.watchers.delete(look)
    look()
    if (Option.isNone(answer)) return expect(world.disk.hasFailed).toBe(true)
    if (answer.value) expect(wasThere).toContain(true)
    else if (!isExpired(version, yield* Clock.currentTimeMillis)) expect(wasThere).toContain(false)
  })

const perform = (world: World, one: Action) =>
  Effect.gen(function* () {
    switch (one._tag) {
      case "Upload":
        return yield* send(world, world.file(one.name), one)
      case "Check":
        return yield* check(world, world.file(one.name), one.algorithm)
      case "CleanUp":
        return yield* (yield* SharedFileStore).cleanUp
      case "Pass":
        return yield* TestClock.adjust(`${one.minutes} minutes`)
    }
  })

/** Nothing is under way: content and metadata belong together, `has` says so, and it is what may be there. */
const checkAtRest = (world: World, { location, key, model }: File) =>
  Effect.gen(function* () {
    const store = yield* SharedFileStore
    const now = yield* Clock.currentTimeMillis
    const asked = new Set([...model.candidates, ...model.sent.slice(-1)])
    const answers = new Map<string, boolean>()
    for (const { content } of asked) {
      // What fails, fails once.
      const answer = yield* Effect.option(Effect.retry(store.has(location, hashOf(content)), { times: 1 }))
      if (Option.isNone(answer)) return expect(world.disk.isStopped).toBe(true)
      answers.set(content, answer.value)
    }
    const { content, metadata } = world.pair(key)
    const found = model.sent.find((version) => version.content === content)
    if (content === undefined) expect(metadata === undefined || metadata.expires._tag === "Some").toBe(true)
    else {
      expect(metadata).toEqual(found?.metadata)
      expect(metadata?.hash).toEqual(hashOf(content))
    }
    for (const [text, answer] of answers)
      expect(answer, text).toBe(found?.content === text && !isExpired(found, now))
    expect(model.contradiction(found, now)).toBe(undefined)
    model.seen(found, now)
  })

/** What is there besides the files themselves. */
const others = (world: World): ReadonlyArray<string> =>
  [...world.disk.files().keys()].filter(
    (path) =>
      !world.files.some(({ key }) => [`/store/${key}`, `/store/${key}${metadataSuffix}`].includes(path))
  )

const checkAll = (world: World) =>
  Effect.gen(function* () {
    if (world.disk.isStopped) return
    if (!world.disk.hasFailed) expect(others(world)).toEqual([])
    for (const file of world.files) if (!world.disk.isStopped) yield* checkAtRest(world, file)
  })

const arm = (disk: CrashingDisk, { kind, at }: Life["fault"]) => {
  if (kind === "stop") disk.stopAt(at)
  else if (kind !== "none") disk.failAt(at, kind)
}

const live = (world: World, { rounds, fault, end, seed }: Life, commits: Commits) =>
  Effect.gen(function* () {
    arm(world.disk, fault)
    yield* Effect.gen(function* () {
      yield* checkAll(world)
      for (const round of rounds) {
        yield* Effect.forEach(round, (one) => perform(world, one), { concurrency: "unbounded" })
        yield* checkAll(world)
      }
    }).pipe(
      Effect.provide(storeLayer(commits(world.disk), { cleanupFrequency: Duration.days(1000) })),
      // The disk failed the start; what was acknowledged before is there for the next.
      Effect.catchIf(
        (error) => error instanceof FolderUnusable,
        () => Effect.void
      )
    )
    world.next(end === "killed" ? world.disk.takeOver(seed) : world.disk.restart(seed, seed))
  })

const run = (lives: ReadonlyArray<Life>, commits: Commits = oneByOne) =>
  Effect.gen(function* () {
    const world = new World()
    for (const one of lives) yield* live(world, one, commits)
    yield* live(world, { rounds: [], fault: { kind: "none", at: 0 }, end: "killed", seed: 0 }, commits)
  }).pipe(Effect.withTracerEnabled(false))

describe("SharedFileStore, as a map", () => {
  it.effect.prop(
    "holds what was acknowledged, whole, of several the one that began last, on a disk that works",
    [array(life(["none"]), { minLength: 1, maxLength: 2 })],
    ([lives]) => run(lives),
    { timeout: 120_000, fastCheck: { numRuns: 80 } }
  )

  it.effect.prop(
    "holds it when the disk fails at any operation",
    [array(life(["EIO", "ENOSPC"]), { minLength: 1, maxLength: 2 })],
    ([lives]) => run(lives),
    { timeout: 120_000, fastCheck: { numRuns: 120 } }
  )

  it.effect.prop(
    "holds it when the disk stops at any operation, and what was not synced is lost or not",
    [array(life(["stop", "stop", "EIO"]), { minLength: 1, maxLength: 3 })],
    ([lives]) => run(lives),
    { timeout: 120_000, fastCheck: { numRuns: 200 } }
  )

  it.effect.prop(
    "holds it by the commits of the thread, of which several share what is synced",
    [array(life(["stop", "stop", "EIO", "ENOSPC"]), { minLength: 1, maxLength: 3 })],
    ([lives]) => run(lives, threaded),
    { timeout: 120_000, fastCheck: { numRuns: 100 } }
  )
})
