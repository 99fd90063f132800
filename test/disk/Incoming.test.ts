/** A body from the stream that it comes in to the file that it is written to, and through the hash. */
import { createHash } from "node:crypto"
import { Readable } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Duration, Effect, FastCheck, Fiber, Option, TestClock } from "effect"
import { type Hashing, HashLost } from "../../src/disk/Hasher.ts"
import * as Incoming from "../../src/disk/Incoming.ts"
import * as EventLoop from "../../src/EventLoop.ts"
import * as BodyPace from "../../src/http/BodyPace.ts"
import { cut } from "../../src/http/RequestBody.ts"
import * as StreamReader from "../../src/http/StreamReader.ts"
import { StorageError } from "../../src/RelayError.ts"
import { beginning, bodyOf } from "../support/Streams.ts"

const idle = Duration.minutes(1)

const hashing = (): Hashing => {
  const hash = createHash("sha256")
  return {
    update: (bytes) =>
      Effect.sync(() => {
        hash.update(bytes)
        return Effect.void
      }),
    digest: (last) => Effect.sync(() => hash.update(last).digest())
  }
}

interface Options {
  readonly limit?: number
  readonly minRate?: number
  readonly expected?: number
  readonly write?: Incoming.Incoming["write"]
  readonly hashing?: Hashing
}

/** Takes a body, and gives what was written of it too. */
const receive = (stream: Readable, options: Options = {}) =>
  Effect.gen(function* () {
    const written: Array<Buffer> = []
    const body = yield* StreamReader.open(stream, cut)
    const incoming: Incoming.Incoming = {
      name: "incoming",
      // What is written may be overwritten afterwards.
      write: options.write ?? ((bytes) => Effect.sync(() => void written.push(Buffer.from(bytes)))),
      sync: () => Effect.void,
      held: () => undefined
    }
    const pace = { idle, minRate: options.minRate ?? 0, minRateSetBy: "shared_files.min_rate" }
    const taken = Incoming.take<typeof cut | "too long">(incoming, body, {
      expected: Option.fromNullable(options.expected),
      limit: options.limit ?? Number.POSITIVE_INFINITY,
      tooLong: () => "too long" as const,
      hashing: options.hashing ?? hashing()
    })
    return { ...(yield* BodyPace.within(pace, body)(taken)), written: Buffer.concat(written) }
  }).pipe(Effect.scoped)

/** Until so much has been read that nothing more of it is, for now. */
const atRest = (amount: () => number) =>
  Effect.gen(function* () {
    for (let before = -1, quiet = 0; quiet < 20; quiet++) {
      yield* EventLoop.turn
      if (amount() !== before) quiet = 0
      before = amount()
    }
  })

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

  it.effect("that breaks off is an InvalidRequest, and one that stops coming a RequestTimeout", () =>
    Effect.gen(function* () {
      const broken = beginning("some")
      const cutting = yield* Effect.fork(Effect.flip(receive(broken)))
      yield* EventLoop.turn
      broken.destroy()
      expect(yield* Fiber.join(cutting)).toMatchObject({
        _tag: "InvalidRequest",
        message: "the body was cut short"
      })
      expect(yield* Effect.flip(receive(broken))).toMatchObject({ _tag: "InvalidRequest" })
      const stalled = beginning("some")
      const stalling = yield* Effect.fork(Effect.flip(receive(stalled)))
      yield* Effect.repeatN(EventLoop.turn, 3)
      yield* TestClock.adjust("59 seconds")
      expect(Option.isNone(yield* Fiber.poll(stalling))).toBe(true)
      yield* TestClock.adjust("2 seconds")
      expect(yield* Fiber.join(stalling)).toMatchObject({
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
      const goOn = yield* Deferred.make<void>()
      const body = bodyOf("some")
      const receiving = yield* Effect.fork(
        receive(body, { minRate: 4096, write: () => Deferred.await(goOn) })
      )
      yield* Effect.repeat(EventLoop.turn, { until: () => body.readableEnded })
      yield* TestClock.adjust("2 minutes")
      yield* Deferred.succeed(goOn, undefined)
      expect(yield* Fiber.join(receiving)).toMatchObject({ size: 4 })
    })
  )

  it.effect("whose disk is slower than the sender is waited for, and not taken for stalled", () =>
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
      const goOn = yield* Deferred.make<void>()
      const receiving = yield* Effect.fork(receive(body, { write: () => Deferred.await(goOn) }))
      yield* atRest(() => read)
      yield* TestClock.adjust("2 minutes")
      yield* atRest(() => read)
      // A few blocks and what node holds, not what the sender has.
      expect(read).toBeLessThanOrEqual(8 * MiB)
      yield* Deferred.succeed(goOn, undefined)
      expect(yield* Fiber.join(receiving)).toMatchObject({ size: 64 * MiB })
    })
  )

  it.effect("that the disk does not take is told as the disk's failure", () =>
    Effect.gen(function* () {
      const noRoom = new StorageError({ message: "no room" })
      const write = () => noRoom
      expect(yield* Effect.flip(receive(bodyOf("small"), { write }))).toBe(noRoom)
      // Of this one more is to come, which nobody waits for.
      const large = beginning("x".repeat(5_000_000))
      expect(yield* Effect.flip(receive(large, { write }))).toBe(noRoom)
      expect(large.destroyed).toBe(false)
    })
  )

  it.effect("of which the hash is lost is told as a failure here", () =>
    Effect.gen(function* () {
      const lost = new HashLost({ message: "lost" })
      const failure = { _tag: "StorageError", message: "lost" }
      for (const more of [{ update: () => Effect.succeed(lost) }, { digest: () => lost }]) {
        const body = bodyOf("x".repeat(5_000_000))
        const received = receive(body, { hashing: { ...hashing(), ...more } })
        expect(yield* Effect.flip(received)).toMatchObject(failure)
      }
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
        return Effect.tryPromise({
          try: () => closed.then(() => Promise.reject(new Error("closed"))),
          catch: () => new StorageError({ message: "closed" })
        })
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

  it.live("whose sender leaves while its file is being made has that closed", () =>
    Effect.gen(function* () {
      const [begun, made] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const told: Array<string> = []
      const tell = (what: string) => Effect.sync(() => void told.push(what))
      const file = { write: () => tell("written"), sync: () => Effect.void, close: tell("closed") }
      const create = Effect.uninterruptible(
        Deferred.succeed(begun, undefined).pipe(
          Effect.andThen(Deferred.await(made)),
          Effect.andThen(tell("made")),
          Effect.as(file)
        )
      )
      const receiving = yield* Effect.fork(
        Effect.gen(function* () {
          const { write } = yield* Incoming.open("incoming", create, () => undefined)
          return yield* receive(bodyOf("some"), { write })
        }).pipe(Effect.scoped)
      )
      yield* Deferred.await(begun)
      const leaving = yield* Effect.fork(Fiber.interrupt(receiving))
      yield* Effect.repeatN(EventLoop.turn, 20)
      yield* Deferred.succeed(made, undefined)
      yield* Fiber.join(leaving)
      expect(told).toEqual(["made", "closed"])
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
