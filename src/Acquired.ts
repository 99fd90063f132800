/** What is held for a request until its scope ends. */
import { Context, Effect, Scope } from "effect"

/**
 * What `make` gives; `release` is run when the scope ends. Effect's own `acquireRelease` also gives the release back all
 * that was around the acquisition, such as the log's annotations: to compare that twice takes longer than most of what is
 * acquired for a request.
 */
export const acquire = <A>(
  make: () => A,
  release: (made: A) => Effect.Effect<unknown>
): Effect.Effect<A, never, Scope.Scope> =>
  acquireWith(() => {
    const made = make()
    return { made, release: release(made) }
  })

/** The same, where what is made does not say itself what releases it. */
export const acquireWith = <A>(
  make: () => { readonly made: A; readonly release: Effect.Effect<unknown> }
): Effect.Effect<A, never, Scope.Scope> =>
  Effect.uninterruptible(
    Effect.withFiberRuntime((fiber) => {
      // The type of what is acquired says that there is one.
      const scope = Context.unsafeGet(fiber.currentContext, Scope.Scope)
      const { made, release } = make()
      return Effect.as(Scope.addFinalizer(scope, release), made)
    })
  )
