/** The steps of a commit, stopped at each: what is there after a restart is one of the two pairs, whole. */
import { createHash } from "node:crypto"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Metadata from "../../../src/shared-files/file/Metadata.ts"
import { CrashingDisk } from "../../../src/testing/CrashingDisk.ts"
import { locationOf, storeLayer, upload } from "../../support/Stores.ts"

const location = locationOf("a")
const seeds = [1, 2, 3, 4, 5, 6, 7, 8]
/** What was acknowledged is there whatever is lost: that is asked more often. */
const moreSeeds = Array.from({ length: 60 }, (_, at) => at)

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

const replaced = (crashing: CrashingDisk, stopAt: number) =>
  Effect.gen(function* () {
    yield* upload(location, "older")
    if (stopAt > 0) crashing.stopAt(stopAt)
    return (yield* Effect.exit(upload(location, "newer")))._tag
  }).pipe(Effect.provide(storeLayer(crashing.disk)))

describe("a commit that is stopped", () => {
  it.effect("leaves one of the pairs, whole, and the newer one where it was acknowledged", () =>
    Effect.gen(function* () {
      // To the end: what is acknowledged before the last step must not depend on whether that is done.
      let isStopped = true
      for (let at = 1; isStopped; at++) {
        const crashing = CrashingDisk.make()
        const end = yield* replaced(crashing, at)
        isStopped = crashing.isStopped
        for (const seed of end === "Success" ? moreSeeds : seeds) {
          const after = crashing.restart(seed)
          yield* Effect.void.pipe(Effect.provide(storeLayer(after.disk)))
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
})
