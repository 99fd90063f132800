import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, FastCheck, Fiber, Option, TestClock } from "effect"
import * as BodyPace from "../../src/http/BodyPace.ts"

const minute = { idle: Duration.minutes(1), minRate: 100, minRateSetBy: "shared_files.min_rate" }

/** A body comes by so many bytes a second, for so many seconds; gives why it was too slow, if it was. */
const coming = (pace: BodyPace.BodyPace, bytes: number, seconds: number) => {
  for (let second = 0; second < seconds; second++) {
    if (bytes > 0) pace.came(bytes)
    const reason = pace.waited(1000)
    if (reason !== undefined) return reason.message
  }
  return undefined
}

describe("BodyPace", () => {
  it("takes what comes at the least rate, and no slower", () => {
    expect(coming(BodyPace.make(minute), 100, 600)).toBeUndefined()
    expect(coming(BodyPace.make(minute), 99, 600)).toContain("shared_files.min_rate")
    expect(coming(BodyPace.make({ ...minute, minRate: 0 }), 1, 600)).toBeUndefined()
  })

  it("averages, so that a body may come in bursts", () => {
    const pace = BodyPace.make(minute)
    for (let burst = 0; burst < 10; burst++) {
      expect(coming(pace, 6000, 1)).toBeUndefined()
      expect(coming(pace, 0, 58)).toBeUndefined()
      expect(coming(pace, 1, 1)).toBeUndefined()
    }
  })

  it("does not count what came before against what comes now", () => {
    const pace = BodyPace.make(minute)
    expect(coming(pace, 1_000_000, 60)).toBeUndefined()
    expect(coming(pace, 1, 59)).toBeUndefined()
    expect(coming(pace, 1, 1)).toContain("shared_files.min_rate")
  })

  it("takes no standstill, whatever has come", () => {
    for (const minRate of [0, 100]) {
      const pace = BodyPace.make({ ...minute, minRate })
      pace.came(1_000_000)
      expect(coming(pace, 0, 59)).toBeUndefined()
      expect(coming(pace, 0, 1)).toContain("limits.body_idle_timeout")
    }
  })

  it.prop(
    "ends whatever is slower than the least rate, within two periods",
    [FastCheck.array(FastCheck.nat(99), { minLength: 120, maxLength: 120 })],
    ([seconds]) => {
      const pace = BodyPace.make(minute)
      expect(seconds.some((bytes) => coming(pace, bytes, 1) !== undefined)).toBe(true)
    }
  )

  it.effect("watches for as long as more is wanted, and only then", () =>
    Effect.gen(function* () {
      const pace = BodyPace.make(minute)
      let wanting = false
      const reading = { isWaiting: () => wanting, received: () => 0 }
      const watching = yield* Effect.fork(Effect.flip(BodyPace.watch(pace, minute.idle, reading)))
      yield* TestClock.adjust("2 minutes")
      wanting = true
      yield* TestClock.adjust("59 seconds")
      expect(Option.isNone(yield* Fiber.poll(watching))).toBe(true)
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(watching)).toMatchObject({ _tag: "RequestTimeout" })
    })
  )

  it.effect("takes what came into account, whenever that was", () =>
    Effect.gen(function* () {
      let received = 1_000_000
      const reading = { isWaiting: () => true, received: () => received }
      const watching = yield* Effect.fork(Effect.flip(BodyPace.within(minute, reading)(Effect.never)))
      for (let count = 0; count < 5; count++) {
        yield* TestClock.adjust("30 seconds")
        received += 3000
        yield* TestClock.adjust("20 seconds")
        received += 3000
        yield* TestClock.adjust("10 seconds")
      }
      expect(Option.isNone(yield* Fiber.poll(watching))).toBe(true)
      // What was there before somebody began to read does not count.
      yield* TestClock.adjust("1 minute")
      expect(yield* Fiber.join(watching)).toMatchObject({
        _tag: "RequestTimeout",
        message: expect.stringContaining("limits.body_idle_timeout")
      })
    })
  )
})
