import { createHash } from "node:crypto"
import { PassThrough, Readable } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, FastCheck, Fiber, Option } from "effect"
import * as EventLoop from "../../src/EventLoop.ts"
import type { Hashing } from "../../src/shared-files/Hasher.ts"
import { receive } from "../../src/shared-files/UploadBody.ts"

const mebibyte = 1 << 20

const hashing = (): Hashing => {
  const hash = createHash("sha512")
  return {
    update: async (bytes) => void hash.update(bytes),
    digest: async (last) => hash.update(last).digest()
  }
}

type Options = Parameters<typeof receive<string>>[1]

const take = (body: Readable, write: Options["write"], more: Partial<Options> = {}) =>
  receive<string>(body, {
    idle: Duration.seconds(60),
    expected: Option.none(),
    limit: Number.POSITIVE_INFINITY,
    tooLong: "too long",
    hashing: hashing(),
    write,
    failed: (cause) => `failed: ${cause instanceof Error ? cause.message : cause}`,
    ...more
  })

/** What is set off by a failure comes up within these turns, an error that nobody waits for included. */
const settle = Effect.repeatN(EventLoop.turn, 20)

describe("the body of an upload", () => {
  it.effect.prop(
    "comes to the disk as it was sent, in whatever pieces, and is what was hashed",
    [
      FastCheck.array(FastCheck.integer({ min: 1, max: 3 * mebibyte }), { maxLength: 4 }),
      FastCheck.boolean()
    ],
    ([lengths, isAnnounced]) =>
      Effect.gen(function* () {
        const sent = lengths.map((length, at) => Buffer.alloc(length, String(at)))
        const written: Array<Buffer> = []
        const write = async (bytes: Uint8Array) => {
          const copy = Buffer.from(bytes)
          await new Promise((resolve) => setImmediate(resolve))
          written.push(copy)
        }
        const content = Buffer.concat(sent)
        const { size, digest } = yield* take(Readable.from(sent, { objectMode: false }), write, {
          expected: isAnnounced ? Option.some(content.length) : Option.none()
        })
        expect(size).toBe(content.length)
        expect(Buffer.concat(written).equals(content)).toBe(true)
        expect(digest.equals(createHash("sha512").update(content).digest())).toBe(true)
      }),
    { fastCheck: { numRuns: 30 } }
  )

  it.effect("fails as the disk does in its middle, and that alone", () =>
    Effect.gen(function* () {
      let room = 2
      const write = async () => {
        if (room-- === 0) throw new Error("ENOSPC")
      }
      const body = Readable.from([Buffer.alloc(4 * mebibyte)], { objectMode: false })
      expect(yield* Effect.flip(take(body, write))).toBe("failed: ENOSPC")
      yield* settle
    })
  )

  it.effect("fails as the hash does", () =>
    Effect.gen(function* () {
      const lost: Hashing = { ...hashing(), update: () => Promise.reject(new Error("lost")) }
      const body = Readable.from([Buffer.alloc(4 * mebibyte)], { objectMode: false })
      expect(yield* Effect.flip(take(body, async () => {}, { hashing: lost }))).toBe("failed: lost")
      yield* settle
    })
  )

  it.effect(
    "is given up when its sender leaves, whatever of it is still on its way to a file that is closed",
    () =>
      Effect.gen(function* () {
        const body = new PassThrough()
        let goOn = () => {}
        const open = new Promise<void>((resolve) => {
          goOn = resolve
        })
        const write = () => open.then(() => Promise.reject(new Error("EBADF")))
        const fiber = yield* Effect.fork(take(body, write))
        body.write(Buffer.alloc(3 * mebibyte))
        yield* settle
        yield* Fiber.interrupt(fiber)
        goOn()
        yield* settle
        expect(body.destroyed).toBe(false)
      })
  )

  it.effect("is cut off past the limit", () =>
    Effect.gen(function* () {
      const body = Readable.from([Buffer.alloc(10), Buffer.alloc(1)], { objectMode: false })
      expect(yield* Effect.flip(take(body, async () => {}, { limit: 10 }))).toBe("too long")
    })
  )
})
