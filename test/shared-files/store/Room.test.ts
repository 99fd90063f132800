/** What is left free on the disk, whatever those who send say, or don't, of how much comes. */
import { Readable } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Option } from "effect"
import type { DiskService } from "../../../src/disk/Disk.ts"
import { SharedFileStore } from "../../../src/shared-files/store/SharedFileStore.ts"
import { ScriptedUpstream } from "../../../src/testing/ScriptedUpstream.ts"
import { memory } from "../../support/Outboxes.ts"
import { bodyOf, nameOf, queryOf, send, sharingLayer } from "../../support/Sharing.ts"
import { storeLayer } from "../../support/Stores.ts"

const mebibyte = 1 << 20
const minFree = 100 * mebibyte

/** A disk on which so many bytes are free, which what is written takes; nothing gives them back. */
const limited = (room: number) => {
  const disk = memory()
  const filling = { free: minFree + room, looks: 0 }
  const limitedDisk: DiskService = {
    ...disk,
    free: () =>
      Effect.sync(() => {
        filling.looks++
        return filling.free
      }),
    create: (path, mode) =>
      Effect.map(disk.create(path, mode), (file) => ({
        ...file,
        write: (bytes) => {
          filling.free -= bytes.length
          return file.write(bytes)
        }
      }))
  }
  return { disk: limitedDisk, filling }
}

/** Sends so many bytes without saying how many they are. */
const sendUnannounced = (size: number, target: string) => {
  const piece = Buffer.alloc(64 * 1024)
  const pieces = function* () {
    for (let left = size; left > 0; left -= piece.length) yield piece
  }
  return send("anything", queryOf("anything"), {
    name: nameOf({ target }),
    announced: Option.none(),
    body: bodyOf(() => Readable.from(pieces(), { objectMode: false }))
  })
}

describe("a body whose length nobody announced", () => {
  for (const [where, target, temporary, lasting] of [
    ["the store", "target", "/store/~tmp", "/store/target/source/motd"],
    ["the outbox", "far", "/outbox/~tmp", undefined]
  ] as const)
    it.effect(`ends when it has taken what is free on the disk of ${where}, and leaves nothing`, () => {
      const { disk, filling } = limited(20 * mebibyte)
      const upstream = new ScriptedUpstream()
      upstream.answer = () => "fail"
      return Effect.gen(function* () {
        yield* send("older", undefined, { name: nameOf({ target }) })
        const error = yield* Effect.flip(sendUnannounced(80 * mebibyte, target))
        expect(error).toMatchObject({ _tag: "StorageFull" })
        expect(filling.free).toBeGreaterThan(minFree - 16 * mebibyte)
        expect(yield* disk.list(temporary)).toEqual([])
        if (lasting !== undefined) expect(yield* disk.readText(lasting)).toBe("older")
      }).pipe(
        Effect.provide(sharingLayer({ nodeId: "me", upstream, disk, sharedFiles: { minFree } })),
        Effect.scoped
      )
    })

  it.effect("is looked after together with all others", () => {
    const { disk, filling } = limited(40 * mebibyte)
    return Effect.gen(function* () {
      const store = yield* SharedFileStore
      const piece = Buffer.alloc(mebibyte)
      const incoming = yield* Effect.replicateEffect(store.begin, 30)
      const writes = incoming.map(({ write }) => write(piece))
      const results = []
      for (let round = 0; round < 3; round++) results.push(...(yield* Effect.forEach(writes, Effect.either)))
      const refused = results.filter(Either.isLeft)
      for (const { left } of refused) expect(left).toMatchObject({ _tag: "StorageFull" })
      const taken = results.length - refused.length
      expect(taken).toBeGreaterThanOrEqual(40)
      expect(taken).toBeLessThanOrEqual(40 + 16)
      expect(filling.free).toBe(minFree + (40 - taken) * mebibyte)
    }).pipe(Effect.scoped, Effect.provide(storeLayer(disk, { minFree })))
  })

  it.effect("costs a look at the disk for every 16 MiB, no more", () => {
    const { disk, filling } = limited(80 * mebibyte)
    return Effect.gen(function* () {
      const { write } = yield* (yield* SharedFileStore).begin
      for (let count = 0; count < 64; count++) yield* write(Buffer.alloc(mebibyte))
      expect(filling.looks).toBe(3)
    }).pipe(Effect.scoped, Effect.provide(storeLayer(disk, { minFree })))
  })
})
