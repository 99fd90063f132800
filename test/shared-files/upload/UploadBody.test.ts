import { createHash } from "node:crypto"
import { Readable } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, FastCheck, Fiber, Option, TestClock } from "effect"
import type { Hashing } from "../../../src/disk/Hasher.ts"
import * as EventLoop from "../../../src/EventLoop.ts"
import * as UploadBody from "../../../src/shared-files/upload/UploadBody.ts"

const idle = Duration.minutes(1)

/** A body that comes in these pieces. */
const bodyOf = (...pieces: ReadonlyArray<Uint8Array | string>): Readable =>
  Readable.from(
    pieces.map((piece) => Buffer.from(piece)),
    { objectMode: false }
  )

/** A body of which the sender has sent this much, and no end. */
const beginning = (...pieces: ReadonlyArray<string>): Readable => {
  const body = new Readable({ read: () => {} })
  for (const piece of pieces) body.push(piece)
  return body
}

const hashing = (): Hashing => {
  const hash = createHash("sha256")
  return {
    update: async (bytes) => void hash.update(bytes),
    digest: async (last) => hash.update(last).digest()
  }
}

interface Options {
  readonly limit?: number
  readonly idle?: Duration.Duration
  readonly minRate?: number
  readonly expected?: number
  readonly write?: (bytes: Uint8Array) => Promise<void>
  readonly hashing?: Hashing
}

/** Takes a body, and gives what was written of it too. */
const receive = (body: Readable, options: Options = {}) => {
  const written: Array<Buffer> = []
  return UploadBody.receive(body, {
    pace: { idle: options.idle ?? idle, minRate: options.minRate ?? 0 },
    expected: Option.fromNullable(options.expected),
    limit: options.limit ?? Number.POSITIVE_INFINITY,
    tooLong: "too long" as const,
    hashing: options.hashing ?? hashing(),
    // What is written may be overwritten afterwards.
    write: options.write ?? (async (bytes) => void written.push(Buffer.from(bytes))),
    failed: (cause) => `failed: ${cause instanceof Error ? cause.message : String(cause)}`
  }).pipe(Effect.map((received) => ({ ...received, written: Buffer.concat(written) })))
}

const sha256 = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest()

describe("a body", () => {
  it.effect("is written and hashed whole, in whatever pieces it comes", () =>
    Effect.gen(function* () {
      for (const pieces of [[], [""], ["one"], ["one", "two", "three"]]) {
        const whole = pieces.join("")
        const received = yield* receive(bodyOf(...pieces))
        expect(received).toMatchObject({ size: whole.length, digest: sha256(whole) })
        expect(received.written.toString()).toBe(whole)
      }
      const large = Buffer.alloc(3_000_001, "large and longer than a block\n")
      const received = yield* receive(bodyOf(large.subarray(0, 700_000), large.subarray(700_000)))
      expect(received).toMatchObject({ size: large.length, digest: sha256(large) })
      expect(received.written.equals(large)).toBe(true)
    })
  )

  it.effect.prop(
    "is the same however it is cut, and whatever was announced",
    [
      FastCheck.array(FastCheck.uint8Array({ maxLength: 50 }), { maxLength: 20 }),
      FastCheck.nat({ max: 200 })
    ],
    ([pieces, expected]) =>
      Effect.gen(function* () {
        const whole = Buffer.concat(pieces)
        const received = yield* receive(bodyOf(...pieces), { expected })
        expect(received.digest).toEqual(sha256(whole))
        expect(received.written.equals(whole)).toBe(true)
        expect(received.size).toBe(whole.length)
      }).pipe(Effect.asVoid)
  )

  it.effect("may be as long as the limit, and no byte longer", () =>
    Effect.gen(function* () {
      expect(yield* receive(bodyOf("12345", "67890"), { limit: 10 })).toMatchObject({ size: 10 })
      const body = beginning("12345", "67890", "1")
      expect(yield* Effect.flip(receive(body, { limit: 10 }))).toBe("too long")
      // An answer still has to get through.
      expect(body.destroyed).toBe(false)
    })
  )

  it.live("that breaks off is an InvalidRequest, and one that stops coming a RequestTimeout", () =>
    Effect.gen(function* () {
      const cut = beginning("some")
      const cutting = yield* Effect.fork(Effect.flip(receive(cut)))
      yield* EventLoop.turn
      cut.destroy()
      expect(yield* Fiber.join(cutting)).toMatchObject({
        _tag: "InvalidRequest",
        message: "the body was cut short"
      })
      expect(yield* Effect.flip(receive(cut))).toMatchObject({ _tag: "InvalidRequest" })
      const stalled = beginning("some")
      expect(yield* Effect.flip(receive(stalled, { idle: Duration.millis(20) }))).toMatchObject({
        _tag: "RequestTimeout",
        message: expect.stringContaining("limits.body_idle_timeout")
      })
      expect(stalled.destroyed).toBe(false)
    })
  )

  it.effect("that drips is given up, and the stream is left for the answer", () =>
    Effect.gen(function* () {
      const body = beginning()
      const receiving = yield* Effect.fork(Effect.flip(receive(body, { minRate: 4096 })))
      for (let second = 0; second < 60; second++) {
        body.push("x")
        yield* Effect.repeatN(EventLoop.turn, 3)
        expect(Option.isNone(yield* Fiber.poll(receiving))).toBe(true)
        yield* TestClock.adjust("1 second")
      }
      expect(yield* Fiber.join(receiving)).toMatchObject({
        _tag: "RequestTimeout",
        message: expect.stringContaining("shared_files.min_rate")
      })
      expect(body.destroyed).toBe(false)
      expect(body.listenerCount("data")).toBe(0)
    })
  )

  it.effect("that has ended is not called slow while the disk takes it", () =>
    Effect.gen(function* () {
      let goOn = () => {}
      const slow = new Promise<void>((resolve) => {
        goOn = resolve
      })
      const body = bodyOf("some")
      const receiving = yield* Effect.fork(receive(body, { minRate: 4096, write: () => slow }))
      yield* Effect.repeat(EventLoop.turn, { until: () => body.readableEnded })
      yield* TestClock.adjust("2 minutes")
      goOn()
      expect(yield* Fiber.join(receiving)).toMatchObject({ size: 4 })
    })
  )

  it.live("whose disk is slower than the sender is waited for, and not taken for stalled", () =>
    Effect.gen(function* () {
      const MiB = 1024 * 1024
      let read = 0
      const body = new Readable({
        highWaterMark: MiB,
        read() {
          read += MiB
          this.push(read > 64 * MiB ? null : Buffer.alloc(MiB))
        }
      })
      let goOn = () => {}
      const slow = new Promise<void>((resolve) => {
        goOn = resolve
      })
      const receiving = yield* Effect.fork(receive(body, { idle: Duration.millis(300), write: () => slow }))
      yield* Effect.sleep("700 millis")
      // A few blocks and what node holds, not what the sender has.
      expect(read).toBeLessThanOrEqual(8 * MiB)
      goOn()
      expect(yield* Fiber.join(receiving)).toMatchObject({ size: 64 * MiB })
    })
  )

  it.effect("that the disk does not take is told as the disk's failure", () =>
    Effect.gen(function* () {
      const write = () => Promise.reject(new Error("no room"))
      expect(yield* Effect.flip(receive(bodyOf("small"), { write }))).toBe("failed: no room")
      // Of this one more is to come, which nobody waits for.
      const large = beginning("x".repeat(5_000_000))
      expect(yield* Effect.flip(receive(large, { write }))).toBe("failed: no room")
      expect(large.destroyed).toBe(false)
    })
  )

  it.effect("of which the hash is lost is told as a failure here", () =>
    Effect.gen(function* () {
      const lost: Hashing = { ...hashing(), update: () => Promise.reject(new Error("lost")) }
      const body = bodyOf("x".repeat(5_000_000))
      expect(yield* Effect.flip(receive(body, { hashing: lost }))).toBe("failed: lost")
    })
  )

  it.live("whose sender leaves is given up, also what is still on its way to a file that is closed", () =>
    Effect.gen(function* () {
      const body = beginning("x".repeat(5_000_000))
      let close = () => {}
      const closed = new Promise<void>((resolve) => {
        close = resolve
      })
      let writes = 0
      const write = () => {
        writes++
        return closed.then(() => Promise.reject(new Error("closed")))
      }
      const receiving = yield* Effect.fork(receive(body, { write }))
      yield* Effect.repeat(EventLoop.turn, { until: () => writes > 0 })
      yield* Fiber.interrupt(receiving)
      close()
      // An error that nobody waits for comes up within these turns, and fails the suite.
      yield* Effect.repeatN(EventLoop.turn, 20)
      expect(body.destroyed).toBe(false)
    })
  )

  it.live("is let go of when nobody wants it any more", () =>
    Effect.gen(function* () {
      const body = beginning("some")
      const receiving = yield* Effect.fork(receive(body))
      yield* EventLoop.turn
      yield* Fiber.interrupt(receiving)
      expect(["data", "end", "error", "close"].map((event) => body.listenerCount(event))).toEqual([
        0, 0, 0, 0
      ])
      expect(body.isPaused()).toBe(true)
    })
  )
})

describe("a header before a body", () => {
  it.effect("is read, and the content is still all there", () =>
    Effect.gen(function* () {
      for (const pieces of [
        ["a=1\nb=2\n\ncontent"],
        ["a=1\nb", "=2\n", "\n", "con", "tent"],
        ["a=1\nb=2\n\n", "content"]
      ]) {
        const body = bodyOf(...pieces)
        const { block, length } = yield* UploadBody.readHeader(body, idle)
        expect(Object.fromEntries(block)).toEqual({ a: "1", b: "2" })
        expect(length).toBe(9)
        const received = yield* receive(body)
        expect(received.written.toString()).toBe("content")
      }
    })
  )

  it.effect("may have no content behind it", () =>
    Effect.gen(function* () {
      const body = bodyOf("a=1\n\n")
      yield* UploadBody.readHeader(body, idle)
      expect(yield* receive(body)).toMatchObject({ size: 0, digest: sha256("") })
    })
  )

  it.live("that does not end, is too long, breaks off or stops coming, is refused", () =>
    Effect.gen(function* () {
      const read = (body: Readable, time = idle) => Effect.flip(UploadBody.readHeader(body, time))
      for (const [body, message] of [
        [bodyOf("a=1\n"), "the body ends in it"],
        [bodyOf(), "the body ends in it"],
        [bodyOf("x".repeat(70_000)), "64 KiB"],
        [bodyOf("a=1\na=2\n\n"), "a is there twice"]
      ] as const)
        expect(yield* read(body)).toMatchObject({
          _tag: "InvalidRequest",
          message: expect.stringContaining(message)
        })
      expect(yield* read(beginning("a=1\n"), Duration.millis(20))).toMatchObject({
        _tag: "RequestTimeout",
        message: expect.stringContaining("limits.body_idle_timeout")
      })
      const cut = beginning("a=1\n")
      const cutting = yield* Effect.fork(read(cut))
      yield* EventLoop.turn
      cut.destroy()
      expect(yield* Fiber.join(cutting)).toMatchObject({ message: "the body was cut short" })
    })
  )
})
