import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { LazyScope } from "../../src/server/LazyScope.ts"

describe("the scope of a request", () => {
  it.effect("is nobody else's, however many there are, and closes what was put into it", () =>
    Effect.gen(function* () {
      const words: Array<string> = []
      const note = (word: string) => Effect.sync(() => words.push(word))
      const scopes = Array.from({ length: 200 }, () => new LazyScope())
      for (const [at, scope] of scopes.entries()) {
        yield* Scope.addFinalizer(scope.get(), note(`first of ${at}`))
        yield* Scope.addFinalizerExit(scope.get(), ({ _tag }) => note(`${_tag} of ${at}`))
      }
      expect(new Set(scopes.map(({ get }) => get())).size).toBe(scopes.length)
      for (const at of [150, 0]) {
        words.length = 0
        yield* scopes[at]?.end(Exit.fail("why")) ?? Effect.void
        yield* scopes[at]?.end(Exit.void) ?? Effect.void
        expect(words).toEqual([`Failure of ${at}`, `first of ${at}`])
      }
    })
  )

  it.effect("is not made for who does not want it", () =>
    Effect.gen(function* () {
      const scope = new LazyScope()
      yield* scope.end(Exit.void)
      expect(scope).not.toHaveProperty("taken", expect.anything())
    })
  )
})
