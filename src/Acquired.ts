/** What is held for a request until its scope ends. */
import { Cause, Context, Effect, ExecutionStrategy, Exit, Pipeable, Scope } from "effect"

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
  make: () => { readonly made: A; readonly release: Effect.Effect<unknown> | (() => void) }
): Effect.Effect<A, never, Scope.Scope> =>
  Effect.withFiberRuntime((fiber) => {
    // The type of what is acquired says that there is one.
    const scope = Context.unsafeGet(fiber.currentContext, Scope.Scope)
    // Both in one step, which nothing interrupts.
    if (scope instanceof PlainScope && scope.isOpen) {
      const { made, release } = make()
      scope.add(release)
      return Effect.succeed(made)
    }
    return Effect.uninterruptible(
      Effect.suspend(() => {
        const { made, release } = make()
        const finalizer = typeof release === "function" ? Effect.sync(release) : release
        return Effect.as(Scope.addFinalizer(scope, finalizer), made)
      })
    )
  })

type Release = Effect.Effect<unknown> | (() => void)

/**
 * A scope for what is done so often that Effect's own, which takes some ten steps for each thing that is released, would be
 * most of it: what has a plain release is acquired and released in one step. It ends once; what was acquired last is
 * released first.
 */
export class PlainScope implements Scope.Scope {
  readonly [Scope.ScopeTypeId]: Scope.ScopeTypeId = Scope.ScopeTypeId
  readonly strategy = ExecutionStrategy.sequential
  private readonly releases: Array<Release> = []
  private ended: Exit.Exit<unknown, unknown> | undefined = undefined

  get isOpen(): boolean {
    return this.ended === undefined
  }

  /** Only while it is open. */
  add(release: Release): void {
    this.releases.push(release)
  }

  addFinalizer(finalizer: Scope.Scope.Finalizer): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.ended !== undefined) return finalizer(this.ended)
      this.add(Effect.suspend(() => finalizer(this.ended ?? Exit.void)))
      return Effect.void
    })
  }

  fork(strategy: ExecutionStrategy.ExecutionStrategy): Effect.Effect<Scope.Scope.Closeable> {
    return Effect.tap(Scope.make(strategy), (scope) => this.addFinalizer((exit) => Scope.close(scope, exit)))
  }

  /** Releases all; what of that fails does not keep the rest. */
  end(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.ended ??= exit
      return this.releaseRest(Cause.empty)
    })
  }

  private releaseRest(failed: Cause.Cause<never>): Effect.Effect<void> {
    let cause = failed
    for (let next = this.releases.pop(); next !== undefined; next = this.releases.pop()) {
      if (typeof next !== "function")
        return Effect.matchCauseEffect(next, {
          onFailure: (more) => this.releaseRest(both(cause, more)),
          onSuccess: () => this.releaseRest(cause)
        })
      try {
        next()
      } catch (defect) {
        cause = both(cause, Cause.die(defect))
      }
    }
    return Cause.isEmptyType(cause) ? Effect.void : Effect.failCause(cause)
  }

  pipe() {
    // biome-ignore lint/complexity/noArguments: Effect's own `pipe` of a value takes them so.
    return Pipeable.pipeArguments(this, arguments)
  }
}

const both = (before: Cause.Cause<never>, more: Cause.Cause<never>): Cause.Cause<never> =>
  Cause.isEmptyType(before) ? more : Cause.sequential(before, more)
