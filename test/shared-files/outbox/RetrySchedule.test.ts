import { describe, expect, it } from "@effect/vitest"
import { Clock, Duration, Effect, FastCheck, Random, TestClock } from "effect"
import { delayAfter, retrySchedule } from "../../../src/shared-files/outbox/RetrySchedule.ts"

/** A second and five minutes, as it is without configuration. */
const usual = { initial: Duration.seconds(1), max: Duration.minutes(5) }

const settings = FastCheck.record({
  initial: FastCheck.integer({ min: 1, max: 60_000 }).map(Duration.millis),
  max: FastCheck.integer({ min: 1, max: 3_600_000 }).map(Duration.millis)
})

/** Milliseconds behind the n-th failure, without chance. */
const longest = ({ initial, max }: typeof usual, failures: number): number =>
  Math.min(Duration.toMillis(initial) * 2 ** (failures - 1), Duration.toMillis(max))

/** When what always fails is tried, in milliseconds from the first time, until so many hours have gone by. */
const attempts = (hours: number) =>
  Effect.gen(function* () {
    const times: Array<number> = []
    const failing = Effect.andThen(
      Effect.map(Clock.currentTimeMillis, (now) => times.push(now)),
      Effect.fail("no")
    )
    yield* Effect.fork(Effect.retry(failing, retrySchedule(usual)))
    yield* TestClock.adjust(Duration.hours(hours))
    return times
  })

describe("the retry schedule", () => {
  it.effect("doubles its delays, up to a fifth shorter by chance, to the longest, without end", () =>
    Effect.gen(function* () {
      const times = yield* attempts(12)
      const delays = times.slice(1).map((time, index) => time - (times[index] ?? 0))
      for (const [index, delay] of delays.entries()) {
        expect(delay).toBeLessThanOrEqual(longest(usual, index + 1))
        // The clock has whole milliseconds.
        expect(delay).toBeGreaterThanOrEqual(Math.floor(0.8 * longest(usual, index + 1)))
      }
      // Half a day of delays of at most 5 minutes.
      expect(delays.length).toBeGreaterThanOrEqual(12 * 12)
      expect(new Set(delays.slice(20).map(Math.round)).size).toBeGreaterThan(100)
    })
  )

  it.effect.prop(
    "behind the n-th failure is where the schedule is after n steps",
    [settings, FastCheck.integer({ min: 1, max: 60 }), FastCheck.string()],
    ([settings, failures, seed]) =>
      Effect.gen(function* () {
        const delay = Duration.toMillis(yield* delayAfter(settings, failures))
        expect(delay).toBeLessThanOrEqual(longest(settings, failures))
        expect(delay).toBeGreaterThanOrEqual(0.8 * longest(settings, failures) - 1e-6)
      }).pipe(Effect.withRandom(Random.make(seed))),
    { fastCheck: { numRuns: 50 } }
  )

  it.effect.prop(
    "is at its longest behind any number of failures that a disk may give",
    [FastCheck.integer({ min: 10, max: Number.MAX_SAFE_INTEGER })],
    ([failures]) =>
      Effect.gen(function* () {
        const delay = Duration.toSeconds(yield* delayAfter(usual, failures))
        expect(delay).toBeGreaterThanOrEqual(240)
        expect(delay).toBeLessThanOrEqual(300)
      })
  )

  it.effect("begins anew with the first failure", () =>
    Effect.gen(function* () {
      for (const failures of [0, 1])
        expect(Duration.toMillis(yield* delayAfter(usual, failures))).toBeLessThanOrEqual(1000)
    })
  )
})
