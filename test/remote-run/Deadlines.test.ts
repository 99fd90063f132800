import { describe, expect, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber, Option, Scope, TestClock } from "effect"
import * as Deadlines from "../../src/remote-run/Deadlines.ts"

/** An agent that goes on until it is interrupted. */
const forever = (deadlines: Deadlines.Deadlines) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(Effect.never)
    return { fiber, deadline: deadlines.begin(fiber, yield* Clock.currentTimeMillis) }
  })

describe("deadlines", () => {
  it.scoped("interrupt each agent when its own time is over, and no sooner", () =>
    Effect.gen(function* () {
      const deadlines = yield* Deadlines.make(Duration.seconds(10))
      // One that begins when there was none, one while another's is waited for, and one after a pause.
      const first = yield* forever(deadlines)
      yield* TestClock.adjust("4 seconds")
      const second = yield* forever(deadlines)
      yield* TestClock.adjust("5999 millis")
      expect(first.deadline.isOver()).toBe(false)
      yield* TestClock.adjust("1 millis")
      expect(Exit.isInterrupted(yield* Fiber.await(first.fiber))).toBe(true)
      expect([first.deadline.isOver(), second.deadline.isOver()]).toEqual([true, false])
      yield* TestClock.adjust("4 seconds")
      expect(Exit.isInterrupted(yield* Fiber.await(second.fiber))).toBe(true)
      yield* TestClock.adjust("1 hour")
      const third = yield* forever(deadlines)
      yield* TestClock.adjust("10 seconds")
      expect(Exit.isInterrupted(yield* Fiber.await(third.fiber))).toBe(true)
    })
  )

  it.scoped("are none for an agent that is over, and for none at the end of their scope", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const deadlines = yield* Scope.extend(Deadlines.make(Duration.seconds(10)), scope)
      const over = yield* forever(deadlines)
      const other = yield* forever(deadlines)
      over.deadline.drop()
      yield* TestClock.adjust("5 seconds")
      const late = yield* forever(deadlines)
      yield* TestClock.adjust("5 seconds")
      expect([over.deadline.isOver(), other.deadline.isOver()]).toEqual([false, true])
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("1 hour")
      expect(late.deadline.isOver()).toBe(false)
      for (const { fiber } of [over, late]) expect(Option.isNone(yield* Fiber.poll(fiber))).toBe(true)
    })
  )
})
