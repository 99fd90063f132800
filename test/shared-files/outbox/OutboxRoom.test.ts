import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { DiskService } from "../../../src/disk/Disk.ts"
import { Outbox } from "../../../src/shared-files/outbox/Outbox.ts"
import { type Answer, ScriptedUpstream } from "../../../src/testing/ScriptedUpstream.ts"
import { memory, nameOf, outboxLayer, pass, upload } from "../../support/Outboxes.ts"

/** An outbox of 100 bytes, whose policy server gives this answer. */
const setUp = (answer: Answer, more: { readonly minFree?: number; readonly free?: number } = {}) => {
  const upstream = new ScriptedUpstream()
  upstream.answer = () => answer
  const { minFree = 0, free } = more
  const disk = free === undefined ? memory() : { ...memory(), free: () => Effect.succeed(free) }
  return { upstream, layer: outboxLayer({ upstream, disk, sharedFiles: { outboxMaxSize: 100, minFree } }) }
}

const files = Effect.gen(function* () {
  const { entries } = yield* (yield* Outbox).list(10, Option.none())
  return entries.map(({ file_id, state }) => `${file_id} ${state}`)
})

/** A disk on which so many bytes are free for contents; what is removed gives its bytes back. */
const fillable = (free: number) => {
  const disk = memory()
  const filling = { free }
  /** All that is written is contents of these, and what is behind them. */
  const contentIn = (bytes: Uint8Array | string) => /^x*/.exec(String(bytes))?.[0].length ?? 0
  const removed = (path: string) =>
    Effect.map(disk.readSmall(path), (bytes = new Uint8Array(0)) => {
      filling.free += contentIn(Buffer.from(bytes).toString())
    })
  const counting: DiskService = {
    ...disk,
    free: () => Effect.sync(() => filling.free),
    sequence: (steps) =>
      Effect.forEach(
        steps,
        (step) =>
          Effect.gen(function* () {
            if (step._tag === "Write") filling.free -= contentIn(Buffer.from(step.bytes).toString())
            if (step._tag === "Remove") yield* removed(step.path)
            yield* disk.sequence([step])
          }),
        { discard: true }
      )
  }
  return { disk: counting, filling }
}

const of = (length: number) => "x".repeat(length)
const full = { _tag: "StorageFull" }

describe("the room of the outbox", () => {
  it.effect("is outbox_max_size: what waits is not given up for what comes", () => {
    const { layer } = setUp("fail")
    return Effect.gen(function* () {
      expect(yield* upload(nameOf("first"), of(60))).toBe("queued")
      yield* pass("1 milli")
      expect(yield* Effect.flip(upload(nameOf("second"), of(41)))).toMatchObject(full)
      expect(yield* upload(nameOf("third"), of(40))).toBe("queued")
      expect(yield* files).toEqual(["third waiting", "first waiting"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("is made by removing what was refused, the oldest first and no more than it takes", () => {
    const { upstream, layer } = setUp("reject")
    return Effect.gen(function* () {
      for (const file of ["first", "second", "third"]) {
        yield* Effect.flip(upload(nameOf(file), of(30)))
        yield* pass("1 second")
      }
      upstream.answer = () => "fail"
      expect(yield* upload(nameOf("fourth"), of(40))).toBe("queued")
      expect(yield* files).toEqual(["fourth waiting", "third refused", "second refused"])
      expect(yield* (yield* Outbox).status).toMatchObject({
        waiting: { entries: 1, bytes: 40 },
        refused: { entries: 2, bytes: 60 }
      })
    }).pipe(Effect.provide(layer))
  })

  it.effect("is not made for what finds no room even without them", () => {
    const { layer } = setUp("reject")
    return Effect.gen(function* () {
      yield* Effect.flip(upload(nameOf("first"), of(30)))
      const outbox = yield* Outbox
      expect(yield* Effect.flip(outbox.checkRoom(101))).toMatchObject(full)
      expect(yield* files).toEqual(["first refused"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("is not made for what is only announced, or not taken in the end", () => {
    const { layer } = setUp("reject")
    return Effect.gen(function* () {
      yield* Effect.flip(upload(nameOf("first"), of(60)))
      const outbox = yield* Outbox
      yield* outbox.checkRoom(100)
      yield* Effect.scoped(outbox.begin)
      expect(yield* files).toEqual(["first refused"])
    }).pipe(Effect.provide(layer))
  })

  it.effect(
    "is made on the disk too, once the file is there; not where what was refused is too little",
    () => {
      const upstream = new ScriptedUpstream()
      upstream.answer = () => "reject"
      const { disk, filling } = fillable(600)
      const layer = outboxLayer({ upstream, disk, sharedFiles: { outboxMaxSize: 1000, minFree: 500 } })
      return Effect.gen(function* () {
        const outbox = yield* Outbox
        for (const file of ["first", "second"]) {
          yield* Effect.flip(upload(nameOf(file), of(30)))
          yield* pass("1 second")
        }
        // 40 are left, and 60 that were refused.
        yield* outbox.checkRoom(100)
        expect(yield* Effect.flip(outbox.checkRoom(101))).toMatchObject(full)
        expect(yield* files).toEqual(["second refused", "first refused"])
        upstream.answer = () => "fail"
        expect(yield* upload(nameOf("second"), of(60))).toBe("queued")
        expect(yield* files).toEqual(["second waiting"])
        filling.free = 0
        upstream.answer = () => "reject"
        expect(yield* Effect.flip(upload(nameOf("third"), of(1)))).toMatchObject(full)
      }).pipe(Effect.provide(layer))
    }
  )

  it.effect("counts what is on its way in, also where nobody said how much that is", () => {
    const { layer } = setUp("fail")
    return Effect.gen(function* () {
      const outbox = yield* Outbox
      const write = (incoming: Effect.Effect.Success<typeof outbox.begin>, length: number) =>
        incoming.write(Buffer.from(of(length)))
      yield* Effect.gen(function* () {
        const [one, other] = [yield* outbox.begin, yield* outbox.begin]
        yield* write(one, 60)
        yield* write(other, 40)
        expect(yield* Effect.flip(write(other, 1))).toMatchObject(full)
        expect(yield* Effect.flip(outbox.checkRoom(1))).toMatchObject(full)
      }).pipe(Effect.scoped)
      yield* outbox.checkRoom(100)
    }).pipe(Effect.provide(layer))
  })

  it.effect("leaves min_free on the disk", () => {
    const { layer } = setUp("fail", { minFree: 500, free: 550 })
    return Effect.gen(function* () {
      expect(yield* Effect.flip(upload(nameOf("first"), of(51)))).toMatchObject(full)
      expect(yield* upload(nameOf("second"), of(50))).toBe("queued")
    }).pipe(Effect.provide(layer))
  })

  it.effect("is free again when something was delivered, deleted or replaced", () => {
    const { upstream, layer } = setUp("fail")
    return Effect.gen(function* () {
      const outbox = yield* Outbox
      yield* upload(nameOf("one"), of(50))
      expect(yield* upload(nameOf("one"), of(50))).toBe("queued")
      yield* outbox.checkRoom(50)
      const { entries } = yield* outbox.list(1, Option.none())
      for (const { id } of entries) yield* outbox.remove(id)
      yield* outbox.checkRoom(100)
      upstream.answer = () => "take"
      yield* upload(nameOf("two"), of(100))
      yield* outbox.checkRoom(100)
    }).pipe(Effect.provide(layer))
  })
})
