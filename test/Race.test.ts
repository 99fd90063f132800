import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
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
