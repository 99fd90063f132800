import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import * as Outcome from "../src/Outcome.ts"

describe("Outcome", () => {
  it.effect("is what was known first, for who comes before and for who comes later", () =>
    Effect.gen(function* () {
      const outcome = Outcome.make<string, string>()
      const before = yield* Effect.fork(Outcome.wait(outcome))
      yield* Effect.yieldNow()
      Outcome.end(outcome, Effect.fail("first"))
      Outcome.end(outcome, Effect.succeed("second"))
      expect(yield* Fiber.await(before)).toEqual(Exit.fail("first"))
      expect(yield* Effect.exit(Outcome.wait(outcome))).toEqual(Exit.fail("first"))
    })
  )

  it.effect("is for the next one where somebody waits no longer", () =>
    Effect.gen(function* () {
      const outcome = Outcome.make<string>()
      const gone = yield* Effect.fork(Outcome.wait(outcome))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(gone)
      const next = yield* Effect.fork(Outcome.wait(outcome))
      yield* Effect.yieldNow()
      Outcome.end(outcome, Effect.succeed("known"))
      expect(yield* Fiber.join(next)).toBe("known")
    })
  )

  it.effect("that comes between the making of a wait and its beginning is not missed", () =>
    Effect.gen(function* () {
      const outcome = Outcome.make<string>()
      const waiting = Outcome.wait(outcome)
      Outcome.end(outcome, Effect.succeed("known"))
      expect(yield* waiting).toBe("known")
    })
  )
})
