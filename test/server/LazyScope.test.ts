import { describe, expect, it } from "@effect/vitest"
import { Effect, ExecutionStrategy, Exit, Scope } from "effect"
import { LazyScope } from "../../src/server/LazyScope.ts"

/** What is done with a scope, and what that ran, in its order. */
const ran = (
  use: (scope: Scope.CloseableScope, note: (word: string) => Effect.Effect<void>) => Effect.Effect<unknown>
) =>
  Effect.forEach([new LazyScope(), Effect.runSync(Scope.make())], (scope) => {
    const words: Array<string> = []
    return Effect.as(
      use(scope, (word) => Effect.sync(() => words.push(word))),
      words
    )
  })

describe("a scope that is made when something is put into it", () => {
  it.effect("lets go as Effect's own does: backwards, with the exit, and what its forks hold", () =>
    Effect.gen(function* () {
      const [one, other] = yield* ran((scope, note) =>
        Effect.gen(function* () {
          yield* Scope.addFinalizer(scope, note("first"))
          yield* Scope.addFinalizerExit(scope, (exit) => note(exit._tag))
          const fork = yield* Scope.fork(scope, ExecutionStrategy.sequential)
          yield* Scope.addFinalizer(fork, note("in a fork"))
          yield* Effect.acquireRelease(note("acquired"), () => note("released")).pipe(Scope.extend(scope))
          yield* note("closing")
          yield* Scope.close(scope, Exit.fail("why"))
          yield* Scope.close(scope, Exit.void)
        })
      )
      expect(one).toEqual(["acquired", "closing", "released", "in a fork", "Failure", "first"])
      expect(one).toEqual(other)
    })
  )

  it.effect("is closed for who comes later, also where nothing had been put into it", () =>
    Effect.gen(function* () {
      const [one, other] = yield* ran((scope, note) =>
        Effect.gen(function* () {
          yield* Scope.close(scope, Exit.fail("why"))
          yield* Scope.addFinalizerExit(scope, (exit) => note(exit._tag))
          yield* note("then")
        })
      )
      expect(one).toEqual(["Failure", "then"])
      expect(one).toEqual(other)
    })
  )
})
