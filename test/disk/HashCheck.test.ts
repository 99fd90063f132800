/** How much is read at once for those who ask for a content's hash, also when they don't wait for it. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { DiskService } from "../../src/disk/Disk.ts"
import * as HashCheck from "../../src/disk/HashCheck.ts"
import { Outbox } from "../../src/shared-files/outbox/Outbox.ts"
import { SharedFileStore } from "../../src/shared-files/store/SharedFileStore.ts"
import { ScriptedUpstream } from "../../src/testing/ScriptedUpstream.ts"
import { hashOf, upload as keep, memory, nameOf, outboxLayer, rest, sha256Of } from "../support/Outboxes.ts"
import { locationOf, storeLayer, upload } from "../support/Stores.ts"

/** Contents whose pieces, ten in each, come when a test lets them. */
class Reads {
  /** Being read now, and the most that ever were at once. */
  open = 0
  mostOpen = 0
  pieces = 0
  private waiting: Array<() => void> = []

  async *content(): AsyncGenerator<Uint8Array> {
    this.open++
    this.mostOpen = Math.max(this.mostOpen, this.open)
    try {
      for (let piece = 0; piece < 10; piece++) {
        await new Promise<void>((resolve) => this.waiting.push(resolve))
        this.pieces++
        yield Buffer.from("x")
      }
    } finally {
      this.open--
    }
  }

  /** A piece for each that waits for one. */
  readonly next = Effect.suspend(() => {
    for (const come of this.waiting.splice(0)) come()
    return rest
  })

  /** Of a disk's files that are read in pieces. */
  readonly over = (disk: DiskService): DiskService => ({ ...disk, read: () => this.content() })
}

const tenPieces = hashOf("x".repeat(10))

describe("a check of a content's hash", () => {
  it.effect("that is interrupted reads one more piece at most, and keeps its place until then", () => {
    const reads = new Reads()
    const hashesTo = HashCheck.make()
    const check = Effect.suspend(() => hashesTo(reads.content(), [tenPieces]))
    return Effect.gen(function* () {
      const leaving = [yield* Effect.fork(check), yield* Effect.fork(check)]
      yield* rest
      yield* reads.next
      expect(reads).toMatchObject({ open: 2, pieces: 2 })
      const staying = yield* Effect.fork(check)
      for (const fiber of leaving) yield* Fiber.interruptFork(fiber)
      yield* rest
      expect(reads).toMatchObject({ open: 2, pieces: 2 })
      yield* reads.next
      expect(reads).toMatchObject({ open: 1, pieces: 4 })
      for (let piece = 0; piece < 10; piece++) yield* reads.next
      expect(yield* Fiber.join(staying)).toBe(true)
      expect(reads).toMatchObject({ open: 0, pieces: 14, mostOpen: 2 })
    })
  })

  it.effect("that fails gives its place back", () => {
    const hashesTo = HashCheck.make()
    const broken = async function* () {
      yield Buffer.from("x")
      throw Object.assign(new Error("broken"), { code: "EIO" })
    }
    return Effect.gen(function* () {
      for (let again = 0; again < 3; again++)
        expect(yield* Effect.flip(hashesTo(broken(), [tenPieces]))).toMatchObject({ code: "EIO" })
    })
  })

  /** Asks again and again, and never waits for the answer. */
  const hurry = <A, E, R>(reads: Reads, ask: (file: number) => Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      const fibers = []
      for (let file = 0; file < 6; file++) {
        const fiber = yield* Effect.fork(ask(file))
        yield* rest
        yield* Fiber.interruptFork(fiber)
        fibers.push(fiber)
        yield* rest
      }
      expect(reads.mostOpen).toBe(2)
      for (let piece = 0; piece < 6; piece++) yield* reads.next
      for (const fiber of fibers) yield* Fiber.await(fiber)
      expect(reads).toMatchObject({ open: 0, pieces: 2, mostOpen: 2 })
    })

  it.effect("is one of two at most in the store, though those who ask leave", () => {
    const reads = new Reads()
    return Effect.gen(function* () {
      const store = yield* SharedFileStore
      for (let file = 0; file < 6; file++) yield* upload(locationOf(`${file}`), "hello")
      yield* hurry(reads, (file) => store.has(locationOf(`${file}`), sha256Of("hello")))
    }).pipe(Effect.provide(storeLayer(reads.over(memory()))))
  })

  it.effect("is one of two at most in the outbox, though those who ask leave", () => {
    const reads = new Reads()
    const upstream = new ScriptedUpstream()
    upstream.answer = () => "unreachable"
    return Effect.gen(function* () {
      const outbox = yield* Outbox
      for (let file = 0; file < 6; file++) yield* keep(nameOf(`${file}`), "hello")
      yield* hurry(reads, (file) => outbox.has(nameOf(`${file}`), sha256Of("hello")))
    }).pipe(Effect.provide(outboxLayer({ upstream, disk: reads.over(memory()) })))
  })
})
