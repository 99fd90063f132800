import type { Readable } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Option, TestClock } from "effect"
import * as EventLoop from "../../../src/EventLoop.ts"
import { cut, type RequestBody } from "../../../src/http/RequestBody.ts"
import * as StreamReader from "../../../src/http/StreamReader.ts"
import * as UploadHeader from "../../../src/shared-files/upload/UploadHeader.ts"
import { beginning, bodyOf } from "../../support/Streams.ts"

const idle = Duration.minutes(1)

/** All that is left of a body. */
const rest = (body: RequestBody) =>
  Effect.gen(function* () {
    const memory = new Uint8Array(100)
    return Buffer.from(memory.subarray(0, yield* body.fill(memory))).toString()
  })

describe("a header before a body", () => {
  it.scoped("is read, and the content is still all there", () =>
    Effect.gen(function* () {
      for (const pieces of [
        ["a=1\nb=2\n\ncontent"],
        ["a=1\nb", "=2\n", "\n", "con", "tent"],
        ["a=1\nb=2\n\n", "content"]
      ]) {
        const body = yield* StreamReader.open(bodyOf(...pieces), cut)
        const { block, length } = yield* UploadHeader.readWithin(body, idle)
        expect(Object.fromEntries(block)).toEqual({ a: "1", b: "2" })
        expect(length).toBe(9)
        expect(yield* rest(body)).toBe("content")
      }
    })
  )

  it.scoped("may be all that there is, and have ended long before the content is asked for", () =>
    Effect.gen(function* () {
      for (const [text, content] of [
        ["a=1\n\n", ""],
        ["a=1\n\nall in one", "all in one"]
      ] as const) {
        const stream = beginning(text)
        stream.push(null)
        const body = yield* StreamReader.open(stream, cut)
        yield* UploadHeader.readWithin(body, idle)
        yield* Effect.repeatN(EventLoop.turn, 10)
        expect(yield* rest(body)).toBe(content)
      }
    })
  )

  it.scoped("that does not end, is too long, breaks off or stops coming, is refused", () =>
    Effect.gen(function* () {
      const read = (stream: Readable) =>
        Effect.flatMap(StreamReader.open(stream, cut), (body) =>
          Effect.flip(UploadHeader.readWithin(body, idle))
        )
      for (const [stream, message] of [
        [bodyOf("a=1\n"), "the body ends in it"],
        [bodyOf(), "the body ends in it"],
        [bodyOf("x".repeat(70_000)), "64 KiB"],
        [bodyOf("a=1\na=2\n\n"), "a is there twice"]
      ] as const)
        expect(yield* read(stream)).toMatchObject({
          _tag: "InvalidRequest",
          message: expect.stringContaining(message)
        })
      const stalling = yield* Effect.fork(read(beginning("a=1\n")))
      yield* Effect.repeatN(EventLoop.turn, 3)
      yield* TestClock.adjust("59 seconds")
      expect(Option.isNone(yield* Fiber.poll(stalling))).toBe(true)
      yield* TestClock.adjust("2 seconds")
      expect(yield* Fiber.join(stalling)).toMatchObject({
        _tag: "RequestTimeout",
        message: expect.stringContaining("limits.body_idle_timeout")
      })
      const broken = beginning("a=1\n")
      const cutting = yield* Effect.fork(read(broken))
      yield* EventLoop.turn
      broken.destroy()
      expect(yield* Fiber.join(cutting)).toMatchObject({ message: "the body was cut short" })
    })
  )
})
