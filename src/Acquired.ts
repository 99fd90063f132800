/** What is held for a request until its scope ends. */
import { Effect, Scope } from "effect"

/**
 * What `make` gives; `release` is run when the scope ends. Effect's own `acquireRelease` also gives the release back all
 * that was around the acquisition, such as the log's annotations: to compare that twice takes longer than most of what is
 * acquired for a request.
 */
export const acquire = <A>(
  make: () => A,
  release: (made: A) => Effect.Effect<unknown>
): Effect.Effect<A, never, Scope.Scope> =>
  Effect.uninterruptible(
    Effect.flatMap(Effect.scope, (scope) => {
      const made = make()
      return Effect.as(Scope.addFinalizer(scope, release(made)), made)
    })
  )
