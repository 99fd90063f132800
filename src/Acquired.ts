/** What is held for a request until its scope ends. */
import {
  Cause,
  Context,
  Effect,
  ExecutionStrategy,
  Exit,
  type Fiber,
  FiberRef,
  Pipeable,
  Scope
} from "effect"

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

type Ended = Exit.Exit<unknown, unknown>

/** What releases something: an effect, or what is called, and may give one for what is left to do. */
type Release = Effect.Effect<unknown> | ((exit: Ended) => Effect.Effect<unknown> | undefined) | (() => void)

/** What is left to do once it was called. @param exit of what it was held for */
const restOf = (release: Release, exit: Ended): Effect.Effect<unknown> | undefined => {
  const rest = typeof release === "function" ? release(exit) : release
  return Effect.isEffect(rest) ? rest : undefined
}

/** The same, where what is made does not say itself what releases it; it is told of the fiber that it is made by. */
export const acquireWith = <A>(
  make: (fiber: Fiber.RuntimeFiber<unknown, unknown>) => { readonly made: A; readonly release: Release }
): Effect.Effect<A, never, Scope.Scope> =>
  Effect.withFiberRuntime<A, never, Scope.Scope>((fiber) => {
    // The type of what is acquired says that there is one.
    const scope = Context.unsafeGet(fiber.currentContext, Scope.Scope)
    // Both in one step, which nothing interrupts.
    if (scope instanceof PlainScope && scope.isOpen) {
      const { made, release } = make(fiber)
      scope.add(release)
      return Effect.succeed(made)
    }
    return Effect.uninterruptible(
      Effect.suspend(() => {
        const { made, release } = make(fiber)
        const finalizer = (exit: Ended) => Effect.suspend(() => restOf(release, exit) ?? Effect.void)
        return Effect.as(Scope.addFinalizerExit(scope, finalizer), made)
      })
    )
  })

/**
 * A scope for what is done very often: what has a plain release is acquired and released in one step, where Effect's own
 * takes some ten. Without it an upload takes a tenth more of the event loop's time. It ends once; what was acquired
 * last is released first.
 */
export class PlainScope implements Scope.Scope {
  readonly [Scope.ScopeTypeId]: Scope.ScopeTypeId = Scope.ScopeTypeId
  readonly strategy = ExecutionStrategy.sequential
  private readonly releases: Array<Release> = []
  private ended: Ended | undefined = undefined

  get isOpen(): boolean {
    return this.ended === undefined
  }

  /** How much is held. */
  get held(): number {
    return this.releases.length
  }

  /** Only while it is open. */
  add(release: Release): void {
    this.releases.push(release)
  }

  addFinalizer(finalizer: Scope.Scope.Finalizer): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.ended !== undefined) return finalizer(this.ended)
      this.add(finalizer)
      return Effect.void
    })
  }

  fork(strategy: ExecutionStrategy.ExecutionStrategy): Effect.Effect<Scope.Scope.Closeable> {
    return Effect.tap(Scope.make(strategy), (scope) => this.addFinalizer((exit) => Scope.close(scope, exit)))
  }

  /** Releases all; what of that fails does not keep the rest. */
  end(exit: Ended): Effect.Effect<void> {
    return Effect.suspend(() => this.endNow(exit))
  }

  /** The same, begun with this call; what it gives does what of it has to be waited for. */
  endNow(exit: Ended): Effect.Effect<void> {
    this.ended ??= exit
    return this.release(0, this.ended)
  }

  /** Releases in the same way what was acquired last, down to where no more than so much is held. */
  release(held: number, exit: Ended, failed: Cause.Cause<never> = Cause.empty): Effect.Effect<void> {
    let cause = failed
    while (this.releases.length > held) {
      const next = this.releases.pop()
      try {
        const rest = next === undefined ? undefined : restOf(next, exit)
        if (rest === undefined) continue
        return Effect.matchCauseEffect(rest, {
          onFailure: (more) => this.release(held, exit, both(cause, more)),
          onSuccess: () => this.release(held, exit, cause)
        })
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

/**
 * What the effect acquires is let go with its end, and `left` is called once that is done. For where nothing interrupts, but
 * the effect itself: what gives it its scope is no acquisition of its own, as Effect's own `Scope.extend` has one, of twenty
 * steps.
 *
 * In a plain scope, such as a request's, no other is made: what was acquired since the effect began is let go. Nobody else
 * acquires anything there meanwhile, since a request is answered by one fiber.
 */
export const scoped = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  left: () => void
): Effect.Effect<A, E, Exclude<R, Scope.Scope>> =>
  Effect.withFiberRuntime<A, E, Exclude<R, Scope.Scope>>(({ currentContext: around }) => {
    // What it asks for besides the scope is around it.
    const begun = effect as Effect.Effect<A, E, Exclude<R, Scope.Scope>>
    const outer: unknown = around.unsafeMap.get(Scope.Scope.key)
    if (outer instanceof PlainScope && outer.isOpen) {
      const { held } = outer
      return released(begun, (exit) => outer.release(held, exit), left)
    }
    const scope = new PlainScope()
    const within = Effect.zipRight(
      FiberRef.set(FiberRef.currentContext, Context.add(around, Scope.Scope, scope)),
      begun
    )
    const outside = FiberRef.set(FiberRef.currentContext, around)
    const behind = Effect.matchCauseEffect(within, {
      onFailure: (cause) => Effect.zipRight(outside, Effect.failCause(cause)),
      onSuccess: (value) => Effect.as(outside, value)
    })
    return released(behind, (exit) => scope.endNow(exit), left)
  })

/** The effect, and behind it `release`, whose failure is one of the whole. */
const released = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  release: (exit: Exit.Exit<A, E>) => Effect.Effect<void>,
  left: () => void
): Effect.Effect<A, E, R> => {
  const end = (exit: Exit.Exit<A, E>): Effect.Effect<A, E> => {
    const ended = (cause: Cause.Cause<never>) => {
      left()
      return Cause.isEmptyType(cause) ? exit : Exit.zipRight(exit, Exit.failCause(cause))
    }
    const rest = release(exit)
    if (rest === Effect.void) return ended(Cause.empty)
    return Effect.matchCauseEffect(rest, { onFailure: ended, onSuccess: () => ended(Cause.empty) })
  }
  return Effect.matchCauseEffect(effect, {
    onFailure: (cause) => end(Exit.failCause(cause)),
    onSuccess: (value) => end(Exit.succeed(value))
  })
}

const both = (before: Cause.Cause<never>, more: Cause.Cause<never>): Cause.Cause<never> =>
  Cause.isEmptyType(before) ? more : Cause.sequential(before, more)
