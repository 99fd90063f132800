/** The steps of a commit, stopped at each: what is there after a restart is one of the two pairs, whole. */
import { createHash } from "node:crypto"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Metadata from "../../../src/shared-files/file/Metadata.ts"
import { SharedFileStore } from "../../../src/shared-files/store/SharedFileStore.ts"
import { CrashingDisk } from "../../../src/testing/CrashingDisk.ts"
import { hashOf } from "../../support/Outboxes.ts"
import { locationOf, storeLayer, upload } from "../../support/Stores.ts"
import { type Commits, oneByOne, threaded } from "../../support/ThreadedDisk.ts"

const location = locationOf("a")
const seeds = [1, 2, 3, 4, 5, 6, 7, 8]
/** What was acknowledged is there whatever is lost: that is asked more often. */
const moreSeeds = Array.from({ length: 60 }, (_, at) => at)

const someSeeds = moreSeeds.slice(0, 16)

const ways: ReadonlyArray<{ readonly how: string; readonly on: Commits }> = [
  { how: "one step after the other", on: oneByOne },
  { how: "by the thread", on: threaded }
]

/** What is stored; undefined where content and metadata do not belong together. */
const stored = (disk: CrashingDisk): string | undefined => {
  const path = ["/store", ...location.folders, location.file].join("/")
  const content = disk.file(path)?.content
  const metadata = disk.file(`${path}.metadata`)?.content.toString()
  const known = Option.flatMap(Option.fromNullable(metadata), Metadata.parse)
  if (content === undefined || Option.isNone(known)) return undefined
  const { algorithm, hex } = known.value.hash
  return createHash(algorithm).update(content).digest("hex") === hex ? content.toString() : undefined
}

const replaced = (on: Commits, crashing: CrashingDisk, stopAt: number) =>
  Effect.gen(function* () {
    yield* upload(location, "older")
    if (stopAt > 0) crashing.stopAt(stopAt)
    return (yield* Effect.exit(upload(location, "newer")))._tag
  }).pipe(Effect.provide(storeLayer(on(crashing))))

describe.each(ways)("a commit $how that is stopped", ({ on }) => {
  it.effect("leaves one of the pairs, whole, and the newer one where it was acknowledged", () =>
    Effect.gen(function* () {
      // To the end: what is acknowledged before the last step must not depend on whether that is done.
      let isStopped = true
      for (let at = 1; isStopped; at++) {
        const crashing = CrashingDisk.make()
        const end = yield* replaced(on, crashing, at)
        isStopped = crashing.isStopped
        for (const seed of end === "Success" ? moreSeeds : seeds) {
          const after = crashing.restart(seed)
          yield* Effect.void.pipe(Effect.provide(storeLayer(on(after))))
          const expected = end === "Success" ? ["newer"] : ["older", "newer"]
          expect({ seed, at, isOne: expected.includes(stored(after) ?? "") }).toEqual({
            seed,
            at,
            isOne: true
          })
        }
      }
    })
  )

  /** What a start finds is what `has` says from then on, also when the power goes right behind it. */
  it.effect("and killed leaves what the next process has said to be there", () =>
    Effect.gen(function* () {
      let isStopped = true
      for (let at = 1; isStopped; at++) {
        const crashing = CrashingDisk.make()
        yield* replaced(on, crashing, at)
        isStopped = crashing.isStopped
        const next = crashing.takeOver()
        yield* Effect.void.pipe(Effect.provide(storeLayer(on(next))))
        const said = stored(next)
        expect(["older", "newer"]).toContain(said)
        for (const seed of someSeeds) {
          const after = next.ifStopped(seed)
          yield* Effect.void.pipe(Effect.provide(storeLayer(on(after))))
          expect({ seed, at, stored: stored(after) }).toEqual({ seed, at, stored: said })
        }
      }
    })
  )

  it.effect("and killed twice leaves one of the pairs, whole, wherever the second is stopped too", () =>
    Effect.gen(function* () {
      let isFirstStopped = true
      for (let first = 1; isFirstStopped; first += 8) {
        let isSecondStopped = true
        for (let second = 1; isSecondStopped; second++) {
          const crashing = CrashingDisk.make()
          yield* replaced(on, crashing, first)
          isFirstStopped = crashing.isStopped
          const next = crashing.takeOver()
          next.stopAt(second)
          yield* Effect.exit(Effect.void.pipe(Effect.provide(storeLayer(on(next)))))
          isSecondStopped = next.isStopped
          for (const seed of seeds.slice(0, 4)) {
            const after = next.restart(seed)
            yield* Effect.void.pipe(Effect.provide(storeLayer(on(after))))
            const found = stored(after)
            expect({ first, second, seed, isOne: ["older", "newer"].includes(found ?? "") }).toEqual({
              first,
              second,
              seed,
              isOne: true
            })
          }
        }
      }
    })
  )
})

describe.each(ways)("a commit $how that the disk cut off", ({ on }) => {
  it.effect("does not come back behind one that was acknowledged after it", () =>
    Effect.gen(function* () {
      let hasFailed = true
      for (let at = 1; hasFailed; at++) {
        const crashing = CrashingDisk.make()
        yield* Effect.gen(function* () {
          yield* upload(location, "older")
          crashing.failAt(at, "EIO")
          yield* Effect.exit(upload(location, "newer"))
          hasFailed = crashing.hasFailed
          crashing.failWhen(() => undefined)
          yield* upload(location, "newest")
        }).pipe(Effect.provide(storeLayer(on(crashing))))
        for (const seed of someSeeds) {
          const after = crashing.ifStopped(seed)
          yield* Effect.void.pipe(Effect.provide(storeLayer(on(after))))
          expect({ seed, at, stored: stored(after) }).toEqual({ seed, at, stored: "newest" })
        }
      }
    })
  )

  it.effect("and is completed later is on the disk by then", () =>
    Effect.gen(function* () {
      const path = ["/store", ...location.folders, location.file].join("/")
      for (const failing of [1, 2]) {
        const crashing = CrashingDisk.make()
        yield* Effect.gen(function* () {
          const store = yield* SharedFileStore
          yield* upload(location, "older")
          let failures = 0
          // The move of the metadata, or the sync behind it, and what is tried at once to end that.
          crashing.failWhen(({ kind, paths }) => {
            const isIt =
              failing === 1
                ? paths[1] === `${path}.metadata`
                : kind === "sync" && path.startsWith(`${paths[0]}/`)
            return isIt && ++failures <= 2 ? "EIO" : undefined
          })
          yield* Effect.flip(upload(location, "newer"))
          expect(yield* store.has(location, hashOf("newer"))).toBe(true)
        }).pipe(Effect.provide(storeLayer(on(crashing))))
        for (const seed of someSeeds) {
          const after = crashing.ifStopped(seed)
          yield* Effect.void.pipe(Effect.provide(storeLayer(on(after))))
          expect({ failing, seed, stored: stored(after) }).toEqual({ failing, seed, stored: "newer" })
        }
      }
    })
  )
})
