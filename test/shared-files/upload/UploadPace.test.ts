import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, FastCheck, Fiber, Option, TestClock } from "effect"
import * as UploadPace from "../../../src/shared-files/upload/UploadPace.ts"

const minute = { idle: Duration.minutes(1), minRate: 100 }

/** A body comes by so many bytes a second, for so many seconds; gives why it was too slow, if it was. */
const coming = (pace: UploadPace.UploadPace, bytes: number, seconds: number) => {
  for (let second = 0; second < seconds; second++) {
    if (bytes > 0) pace.came(bytes)
    const reason = pace.waited(1000)
    if (reason !== undefined) return reason.message
  }
  return undefined
}

describe("UploadPace", () => {
  it("takes what comes at the least rate, and no slower", () => {
    expect(coming(UploadPace.make(minute), 100, 600)).toBeUndefined()
    expect(coming(UploadPace.make(minute), 99, 600)).toContain("shared_files.min_rate")
    expect(coming(UploadPace.make({ ...minute, minRate: 0 }), 1, 600)).toBeUndefined()
  })

  it("averages, so that a body may come in bursts", () => {
    const pace = UploadPace.make(minute)
    for (let burst = 0; burst < 10; burst++) {
      expect(coming(pace, 6000, 1)).toBeUndefined()
      expect(coming(pace, 0, 58)).toBeUndefined()
      expect(coming(pace, 1, 1)).toBeUndefined()
    }
  })

  it("does not count what came before against what comes now", () => {
    const pace = UploadPace.make(minute)
    expect(coming(pace, 1_000_000, 60)).toBeUndefined()
    expect(coming(pace, 1, 59)).toBeUndefined()
    expect(coming(pace, 1, 1)).toContain("shared_files.min_rate")
  })

  it("takes no standstill, whatever has come", () => {
    for (const minRate of [0, 100]) {
      const pace = UploadPace.make({ ...minute, minRate })
      pace.came(1_000_000)
      expect(coming(pace, 0, 59)).toBeUndefined()
      expect(coming(pace, 0, 1)).toContain("limits.body_idle_timeout")
    }
  })

  it.prop(
    "ends whatever is slower than the least rate, within two periods",
    [FastCheck.array(FastCheck.nat(99), { minLength: 120, maxLength: 120 })],
    ([seconds]) => {
      const pace = UploadPace.make(minute)
      expect(seconds.some((bytes) => coming(pace, bytes, 1) !== undefined)).toBe(true)
    }
  )

  it.effect("watches for as long as more is wanted, and only then", () =>
    Effect.gen(function* () {
      const pace = UploadPace.make(minute)
      let wanting = false
      const watching = yield* Effect.fork(Effect.flip(UploadPace.watch(pace, minute.idle, () => wanting)))
      yield* TestClock.adjust("2 minutes")
      wanting = true
      yield* TestClock.adjust("59 seconds")
      expect(Option.isNone(yield* Fiber.poll(watching))).toBe(true)
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(watching)).toMatchObject({ _tag: "RequestTimeout" })
    })
  )
})
