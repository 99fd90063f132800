import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, type Fiber, FiberId } from "effect"
import * as Crew from "../../../src/shared-files/outbox/Crew.ts"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** A crew, and what did each job that is done. */
const setUp = Effect.gen(function* () {
  const crew: Crew.Crew = []
  const scope = yield* Effect.scope
  const fibers: Array<AnyFiber> = []
  const job = Effect.withFiberRuntime<void>((fiber) => {
    fibers.push(fiber)
    return Effect.yieldNow()
  })
  return { crew, fibers, job, give: (each: Effect.Effect<unknown>) => Crew.give(crew, each, scope) }
})

const rest = Effect.repeatN(Effect.yieldNow(), 10)

describe("a crew", () => {
  it.scoped("does one thing after another with one fiber, and several with several", () =>
    Effect.gen(function* () {
      const { crew, fibers, give, job } = yield* setUp
      for (let jobs = 0; jobs < 3; jobs++) yield* Effect.zipRight(give(job), rest)
      expect(new Set(fibers).size).toBe(1)
      for (let jobs = 0; jobs < 3; jobs++) yield* give(job)
      yield* rest
      expect(fibers).toHaveLength(6)
      expect(new Set(fibers).size).toBe(3)
      expect(crew).toHaveLength(3)
    })
  )

  it.scoped("gives nothing to a fiber that was interrupted, in its job or behind it", () =>
    Effect.gen(function* () {
      const { crew, fibers, give, job } = yield* setUp
      const goOn = yield* Deferred.make<void>()
      yield* give(Effect.andThen(Effect.andThen(job, Deferred.await(goOn)), job))
      yield* rest
      fibers[0]?.unsafeInterruptAsFork(FiberId.none)
      yield* rest
      yield* Deferred.succeed(goOn, undefined)
      yield* rest
      expect(fibers).toHaveLength(2)
      expect(crew).toEqual([])
      yield* Effect.zipRight(give(job), rest)
      fibers[2]?.unsafeInterruptAsFork(FiberId.none)
      yield* rest
      expect(crew).toEqual([])
      yield* Effect.zipRight(give(job), rest)
      expect(fibers).toHaveLength(4)
    })
  )

  it.scoped("does what it was given in the turn in which it was interrupted", () =>
    Effect.gen(function* () {
      const { fibers, give, job } = yield* setUp
      yield* Effect.zipRight(give(job), rest)
      fibers[0]?.unsafeInterruptAsFork(FiberId.none)
      yield* give(job)
      yield* rest
      expect(fibers).toHaveLength(2)
      expect(new Set(fibers).size).toBe(1)
    })
  )

  it.effect("ends with its scope, once what is under way is done", () =>
    Effect.gen(function* () {
      const done: Array<string> = []
      const crew: Crew.Crew = []
      yield* Effect.scoped(
        Effect.flatMap(Effect.scope, (scope) =>
          Effect.gen(function* () {
            yield* Crew.give(crew, Effect.void, scope)
            yield* rest
            yield* Crew.give(
              crew,
              Effect.andThen(
                rest,
                Effect.sync(() => done.push("last"))
              ),
              scope
            )
          })
        )
      )
      expect(done).toEqual(["last"])
      expect(crew).toEqual([])
    })
  )
})
