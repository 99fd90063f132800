import { HttpServerRequest } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Option, TestClock } from "effect"
import * as EventLoop from "../../src/EventLoop.ts"
import * as FormBody from "../../src/http/FormBody.ts"

const idle = Duration.minutes(1)
const type = { "content-type": "application/x-www-form-urlencoded" }

const requestOf = (
  body: ReadableStream<Uint8Array> | string | undefined,
  headers: Record<string, string> = type
) =>
  HttpServerRequest.fromWeb(
    new Request("http://relay/", {
      method: "POST",
      headers: { "transfer-encoding": "chunked", ...headers },
      ...(body === undefined ? {} : { body, duplex: "half" })
    })
  )

/** A form of which a test sends the pieces. */
const sending = () => {
  let send: (text: string) => void = () => {}
  let fail: () => void = () => {}
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      send = (text) => controller.enqueue(Buffer.from(text))
      fail = () => controller.error(new Error("reset"))
    }
  })
  return { body, send, fail }
}

describe("a form", () => {
  it.effect("is its entries, in their order and with all repetitions", () =>
    Effect.gen(function* () {
      expect(yield* FormBody.read(requestOf("a=1&b=%32&a=3+4"), idle)).toEqual([
        ["a", "1"],
        ["b", "2"],
        ["a", "3 4"]
      ])
      const typed = { "content-type": "Application/X-WWW-Form-Urlencoded; charset=utf-8" }
      expect(yield* FormBody.read(requestOf("a=1", typed), idle)).toEqual([["a", "1"]])
    })
  )

  it.effect("of another type, compressed, or too long, is refused", () =>
    Effect.gen(function* () {
      const json = requestOf("{}", { "content-type": "application/json" })
      expect(yield* Effect.flip(FormBody.read(json, idle))).toMatchObject({ parameter: "Content-Type" })
      const packed = requestOf("a=1", { ...type, "content-encoding": "gzip" })
      expect(yield* Effect.flip(FormBody.read(packed, idle))).toMatchObject({
        _tag: "InvalidRequest",
        parameter: "Content-Encoding"
      })
      const long = "x".repeat(FormBody.maxFormLength + 1)
      expect(yield* Effect.flip(FormBody.read(requestOf(long), idle))).toMatchObject({
        _tag: "PayloadTooLarge"
      })
      const announced = requestOf(undefined, { ...type, "content-length": String(2 << 20) })
      expect(yield* Effect.flip(FormBody.read(announced, idle))).toMatchObject({ _tag: "PayloadTooLarge" })
      expect(yield* FormBody.read(requestOf(long.slice(1)), idle)).toHaveLength(1)
    })
  )

  it.effect("that breaks off is an InvalidRequest", () =>
    Effect.gen(function* () {
      const { body, send, fail } = sending()
      const reading = yield* Effect.fork(Effect.flip(FormBody.read(requestOf(body), idle)))
      send("a=")
      yield* Effect.repeatN(EventLoop.turn, 5)
      fail()
      expect(yield* Fiber.join(reading)).toMatchObject({ message: "the body was cut short" })
    })
  )

  it.effect("that stops coming is a RequestTimeout, as an upload is", () =>
    Effect.gen(function* () {
      const { body, send } = sending()
      const reading = yield* Effect.fork(Effect.flip(FormBody.read(requestOf(body), idle)))
      send("a=")
      yield* Effect.repeatN(EventLoop.turn, 5)
      yield* TestClock.adjust("59 seconds")
      expect(Option.isNone(yield* Fiber.poll(reading))).toBe(true)
      yield* TestClock.adjust("2 seconds")
      expect(yield* Fiber.join(reading)).toMatchObject({
        _tag: "RequestTimeout",
        message: "the body stopped coming (limits.body_idle_timeout)"
      })
    })
  )

  it.effect("that drips does not go on for ever", () =>
    Effect.gen(function* () {
      const { body, send } = sending()
      const reading = yield* Effect.fork(Effect.flip(FormBody.read(requestOf(body), idle)))
      for (let second = 0; second < 60; second++) {
        send("x")
        yield* Effect.repeatN(EventLoop.turn, 5)
        expect(Option.isNone(yield* Fiber.poll(reading))).toBe(true)
        yield* TestClock.adjust("1 second")
      }
      expect(yield* Fiber.join(reading)).toMatchObject({
        _tag: "RequestTimeout",
        message: expect.stringContaining("too slowly")
      })
    })
  )
})
