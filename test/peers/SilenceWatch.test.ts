import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, TestClock } from "effect"
import * as SilenceWatch from "../../src/peers/SilenceWatch.ts"

const patience = Duration.seconds(8)

/** A watch, and something that it watches from so many milliseconds behind a look on. */
const watching = (behind: number) =>
  Effect.gen(function* () {
    const watch = yield* SilenceWatch.make(patience)
    const other = watch.begin({ steps: 0, fellSilent: () => {} })
    yield* TestClock.adjust(1000 + behind)
    other()
    const watched = { steps: 0, silent: 0, fellSilent: () => void watched.silent++ }
    return { watch, watched, end: watch.begin(watched) }
  })

describe("what is watched", () => {
  it.scoped.each([1, 500, 999])(
    "falls silent when its patience is over, and an eighth later at most: %s",
    (behind) =>
      Effect.gen(function* () {
        const { watched } = yield* watching(behind)
        yield* TestClock.adjust(Duration.toMillis(patience) - 1)
        expect(watched.silent).toBe(0)
        yield* TestClock.adjust(1001)
        expect(watched.silent).toBe(1)
        yield* TestClock.adjust("1 hour")
        expect(watched.silent).toBe(1)
      })
  )

  it.scoped("is told so in the same look as others, and only what stood still", () =>
    Effect.gen(function* () {
      const { watch, watched } = yield* watching(1)
      const others = [0, 1, 2, 3].map(() => ({ steps: 0, silent: 0, fellSilent: () => {} }))
      for (const other of others) {
        other.fellSilent = () => void other.silent++
        watch.begin(other)
      }
      yield* TestClock.adjust(1000)
      const [alive] = others
      if (alive !== undefined) alive.steps++
      yield* TestClock.adjust(patience)
      expect([watched, ...others].map(({ silent }) => silent)).toEqual([1, 0, 1, 1, 1])
      yield* TestClock.adjust(patience)
      expect(alive?.silent).toBe(1)
    })
  )

  it.scoped("does not while it gets on", () =>
    Effect.gen(function* () {
      const { watched } = yield* watching(1)
      for (let times = 0; times < 20; times++) {
        yield* TestClock.adjust(Duration.toMillis(patience) - 1)
        watched.steps++
      }
      expect(watched.silent).toBe(0)
      yield* TestClock.adjust(Duration.times(patience, 2))
      expect(watched.silent).toBe(1)
    })
  )

  it.scoped("is left alone once it is over, and what comes long behind it is watched", () =>
    Effect.gen(function* () {
      const { watch, watched, end } = yield* watching(1)
      end()
      yield* TestClock.adjust("1 hour")
      expect(watched.silent).toBe(0)
      watch.begin(watched)
      yield* TestClock.adjust(Duration.times(patience, 2))
      expect(watched.silent).toBe(1)
    })
  )
})
