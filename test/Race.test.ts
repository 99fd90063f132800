import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, TestClock } from "effect"
import * as Race from "../src/Race.ts"

/** Runs without end; when it is interrupted, some turns pass before it is over. */
const lingering = (over: () => void) =>
  Effect.onInterrupt(Effect.never, () =>
    Effect.repeatN(Effect.yieldNow(), 20).pipe(Effect.andThen(Effect.sync(over)))
  )

describe("a race", () => {
  it.effect("that is interrupted goes on when both runners are over", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const begun = yield* Deferred.make<void>()
      const race = Race.first(
        lingering(() => said.push("one")),
        Effect.zipRight(
          Deferred.succeed(begun, undefined),
          lingering(() => said.push("other"))
        )
      ).pipe(Effect.ensuring(Effect.sync(() => said.push("behind"))))
      const fiber = yield* Effect.fork(race)
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      expect(said.at(-1)).toBe("behind")
      expect(said.slice(0, 2).sort()).toEqual(["one", "other"])
    })
  )

  it.effect("ends as the first of them does, be that a failure, and behind the other", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const other = lingering(() => said.push("over"))
      expect(yield* Race.first(Effect.succeed("first"), other)).toBe("first")
      expect(yield* Effect.flip(Race.first(other, Effect.fail("failed")))).toBe("failed")
      expect(said).toEqual(["over", "over"])
    })
  )
})

describe("a wait at the end of a scope", () => {
  const closing = (wait: Effect.Effect<void>, said: Array<string>) =>
    Effect.scoped(
      Effect.zipRight(
        Effect.addFinalizer(() =>
          Effect.map(Race.atMost(wait, "10 seconds"), ({ _tag }) => void said.push(_tag))
        ),
        Effect.never
      )
    )

  it.effect("goes on, however often the fiber is interrupted, and so does what comes behind", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const over = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(closing(Deferred.await(over), said))
      const interrupts: Array<Fiber.Fiber<unknown>> = []
      for (let i = 0; i < 3; i++) {
        yield* TestClock.adjust("1 second")
        interrupts.push(yield* Effect.fork(Fiber.interrupt(fiber)))
        yield* TestClock.adjust("1 second")
        expect(said).toEqual([])
      }
      yield* Deferred.succeed(over, undefined)
      yield* Fiber.joinAll(interrupts)
      expect(said).toEqual(["Some"])
    })
  )

  it.effect("has an end", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const fiber = yield* Effect.fork(closing(Effect.never, said))
      yield* TestClock.adjust("1 second")
      const interrupt = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(interrupt)
      expect(said).toEqual(["None"])
    })
  )
})
