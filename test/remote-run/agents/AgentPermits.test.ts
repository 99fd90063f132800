import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, FastCheck, Fiber, Scope } from "effect"
import * as AgentPermits from "../../../src/remote-run/agents/AgentPermits.ts"

/** Takes a permit that is given back at the end of the scope. */
const hold = (permits: AgentPermits.AgentPermits, lane: object) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.andThen(
      restore(permits.take(lane)),
      Effect.addFinalizer(() => permits.give)
    )
  )

/** A run that takes permits one after the other, and notes whose turn it was. */
const takeTurns = (
  permits: AgentPermits.AgentPermits,
  lane: object,
  turns: number,
  note: () => void,
  scopes: Array<Scope.CloseableScope>
) =>
  Effect.forEach(
    Array.from({ length: turns }),
    () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        yield* Scope.extend(hold(permits, lane), scope)
        note()
        scopes.push(scope)
      }),
    { discard: true }
  )

const settle = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow(), { discard: true })

describe("AgentPermits", () => {
  it.effect("never gives more permits than there are, and gives all back", () =>
    Effect.promise(() =>
      FastCheck.assert(
        FastCheck.asyncProperty(
          FastCheck.integer({ min: 1, max: 5 }),
          FastCheck.array(
            FastCheck.record({
              lane: FastCheck.nat(3),
              yields: FastCheck.nat(5),
              interrupt: FastCheck.boolean()
            }),
            {
              maxLength: 30
            }
          ),
          (bound, jobs) =>
            Effect.runPromise(
              Effect.gen(function* () {
                const permits = AgentPermits.make(bound)
                const lanes = [{}, {}, {}, {}]
                let now = 0
                let most = 0
                const job = ({ lane, yields }: { lane: number; yields: number }) =>
                  Effect.scoped(
                    Effect.gen(function* () {
                      yield* hold(permits, lanes[lane] ?? {})
                      yield* Effect.acquireRelease(
                        Effect.sync(() => {
                          most = Math.max(most, ++now)
                        }),
                        () => Effect.sync(() => now--)
                      )
                      for (let i = 0; i < yields; i++) yield* Effect.yieldNow()
                    })
                  )
                const fibers = yield* Effect.forEach(jobs, (one) =>
                  Effect.map(Effect.fork(job(one)), (fiber) => ({ fiber, one }))
                )
                yield* Effect.yieldNow()
                for (const { fiber, one } of fibers) if (one.interrupt) yield* Fiber.interrupt(fiber)
                for (const { fiber } of fibers) yield* Fiber.await(fiber)
                expect(most).toBeLessThanOrEqual(bound)
                expect(yield* permits.inUse).toBe(0)
              })
            )
        ),
        { numRuns: 100 }
      )
    )
  )

  it.effect("goes round-robin over the lanes that wait", () =>
    Effect.gen(function* () {
      const permits = AgentPermits.make(1)
      const turns: Array<string> = []
      const scopes: Array<Scope.CloseableScope> = []
      for (const name of ["a", "b", "c"]) {
        yield* Effect.fork(takeTurns(permits, { name }, 3, () => turns.push(name), scopes))
        yield* settle
      }
      for (let i = 0; i < 9; i++) {
        const scope = scopes.shift()
        if (scope !== undefined) yield* Scope.close(scope, Exit.void)
        yield* settle
      }
      expect(turns.join("")).toBe("abcabcabc")
    })
  )

  it.effect("gives a lane that comes new the next turn, however many one lane took before", () =>
    Effect.gen(function* () {
      const permits = AgentPermits.make(2)
      const turns: Array<string> = []
      const scopes: Array<Scope.CloseableScope> = []
      yield* Effect.fork(takeTurns(permits, {}, 100, () => turns.push("big"), scopes))
      yield* settle
      yield* Effect.fork(takeTurns(permits, {}, 1, () => turns.push("small"), scopes))
      yield* settle
      expect(turns).toEqual(["big", "big"])
      const scope = scopes.shift()
      if (scope !== undefined) yield* Scope.close(scope, Exit.void)
      yield* settle
      expect(turns).toEqual(["big", "big", "small"])
    })
  )

  it.effect("does not starve a big run while small ones keep coming", () =>
    Effect.gen(function* () {
      const permits = AgentPermits.make(1)
      const turns: Array<string> = []
      const scopes: Array<Scope.CloseableScope> = []
      yield* Effect.fork(takeTurns(permits, {}, 100, () => turns.push("big"), scopes))
      yield* settle
      for (let i = 0; i < 20; i++) {
        yield* Effect.fork(takeTurns(permits, {}, 1, () => turns.push("small"), scopes))
        yield* settle
        for (let ended = 0; ended < 2; ended++) {
          const scope = scopes.shift()
          if (scope !== undefined) yield* Scope.close(scope, Exit.void)
          yield* settle
        }
      }
      expect(turns.join(" ")).toBe(`big${" small big".repeat(20)}`)
    })
  )

  it.effect("keeps its permits when who waits is interrupted", () =>
    Effect.gen(function* () {
      const permits = AgentPermits.make(1)
      const held = yield* Scope.make()
      yield* Scope.extend(hold(permits, {}), held)
      const got = yield* Deferred.make<void>()
      const leaving = yield* Effect.fork(Effect.scoped(hold(permits, {})))
      yield* settle
      yield* Effect.fork(Effect.scoped(Effect.andThen(hold(permits, {}), Deferred.succeed(got, undefined))))
      yield* settle
      yield* Fiber.interrupt(leaving)
      yield* Scope.close(held, Exit.void)
      yield* Deferred.await(got)
      yield* settle
      expect(yield* permits.inUse).toBe(0)
    })
  )
})
