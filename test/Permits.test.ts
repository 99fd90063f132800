import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, FiberId, Scheduler } from "effect"
import * as Permits from "../src/Permits.ts"

describe("permits", () => {
  it.effect("are no more than there are, and come back from what fails or is interrupted", () =>
    Effect.gen(function* () {
      const permits = Permits.make(2)
      let underWay = 0
      let most = 0
      const one = permits(
        Effect.suspend(() => {
          most = Math.max(most, ++underWay)
          return Effect.ensuring(
            Effect.yieldNow(),
            Effect.sync(() => underWay--)
          )
        })
      )
      yield* Effect.exit(permits(Effect.fail("no")))
      const holds = yield* Effect.fork(permits(Effect.never))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(holds)
      yield* Effect.all(
        Array.from({ length: 7 }, () => one),
        { concurrency: "unbounded" }
      )
      expect(most).toBe(2)
    })
  )

  /** One who waits yields once, so many steps behind being given a permit, and is interrupted in that turn. */
  const interruptedAfter = (steps: number) =>
    Effect.gen(function* () {
      const permits = Permits.make(1)
      const open = yield* Deferred.make<void>()
      yield* Effect.fork(permits(Deferred.await(open)))
      yield* Effect.yieldNow()
      let step = Number.NEGATIVE_INFINITY
      let interrupt = () => {}
      const scheduler: Scheduler.Scheduler = {
        scheduleTask: (...task) => Scheduler.defaultScheduler.scheduleTask(...task),
        shouldYield: () => {
          if (step++ !== steps) return false
          interrupt()
          return 0
        }
      }
      const waits = yield* permits(Effect.void).pipe(Effect.withScheduler(scheduler), Effect.fork)
      interrupt = () => waits.unsafeInterruptAsFork(FiberId.none)
      yield* Effect.yieldNow()
      step = 0
      yield* Deferred.succeed(open, undefined)
      yield* Fiber.await(waits)
      const next = yield* Effect.fork(permits(Effect.void))
      yield* Effect.repeatN(Effect.yieldNow(), 10)
      return { isInterrupted: step > steps, isHandedOn: Exit.isExit(next.unsafePoll()) }
    })

  it.effect("are handed on past one who is interrupted in the turn of being given one", () =>
    Effect.gen(function* () {
      const lost: Array<number> = []
      let steps = 0
      for (; ; steps++) {
        const { isInterrupted, isHandedOn } = yield* interruptedAfter(steps)
        if (!isInterrupted) break
        if (!isHandedOn) lost.push(steps)
      }
      expect(lost).toEqual([])
      expect(steps).toBeGreaterThan(3)
    })
  )
})
