import { constants } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { createFsFromVolume, Volume } from "memfs"
import { make, type NodeFs } from "../../src/disk/Disk.ts"

const piece = new Uint8Array(16 * 1024 * 1024)

/** A disk whose early syncs are counted, and end as a test says. */
const disk = (datasync: () => Promise<void>) => {
  const { promises } = createFsFromVolume(new Volume())
  const open = async (...args: Parameters<typeof promises.open>) => {
    const file = await promises.open(...args)
    file.datasync = datasync
    return file
  }
  // memfs says of itself that it is node's fs, and has what `NodeFs` names; its types differ in overloads only.
  return make({ promises: { ...promises, open }, constants } as unknown as NodeFs)
}

const written = (datasync: () => Promise<void>, pieces: number) =>
  Effect.gen(function* () {
    const file = yield* disk(datasync).create("/large", 0o600)
    for (let count = 0; count < pieces; count++) yield* Effect.promise(() => file.write(piece))
    return file
  })

describe("a file that is written", () => {
  it.effect("is on its way to the disk while more of it comes, when it is large", () =>
    Effect.gen(function* () {
      let syncs = 0
      const datasync = async () => {
        syncs++
      }
      yield* written(datasync, 1)
      expect(syncs).toBe(0)
      const file = yield* written(datasync, 4)
      expect(syncs).toBe(2)
      yield* Effect.promise(() => file.sync(0))
      yield* Effect.promise(() => file.close())
    })
  )

  it.effect("is not on the disk where the disk said no on the way", () =>
    Effect.gen(function* () {
      const file = yield* written(() => Promise.reject(new Error("EIO")), 4)
      expect(yield* Effect.flip(Effect.tryPromise(() => file.sync(0)))).toMatchObject({
        cause: { message: "EIO" }
      })
      yield* Effect.promise(() => file.close())
    })
  )
})
