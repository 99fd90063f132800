/**
 * The scope of a request, made when something is put into it: most requests put nothing there, and are answered before one
 * would be made.
 */
import { Effect, ExecutionStrategy, type Exit, Pipeable, Scope } from "effect"

/** A scope that is nothing yet. What Effect calls on a scope is handed on to one of its own. */
export class LazyScope extends Pipeable.Class() implements Scope.CloseableScope {
  private made: Scope.CloseableScope | undefined
  private ended: Exit.Exit<unknown, unknown> | undefined

  get [Scope.ScopeTypeId](): Scope.ScopeTypeId {
    return Scope.ScopeTypeId
  }

  get [Scope.CloseableScopeTypeId](): Scope.CloseableScopeTypeId {
    return Scope.CloseableScopeTypeId
  }

  get strategy(): ExecutionStrategy.ExecutionStrategy {
    return ExecutionStrategy.sequential
  }

  addFinalizer(finalizer: Scope.Scope.Finalizer): Effect.Effect<void> {
    return Effect.suspend(() => Scope.addFinalizerExit(this.own(), finalizer))
  }

  fork(strategy: ExecutionStrategy.ExecutionStrategy): Effect.Effect<Scope.CloseableScope> {
    return Effect.suspend(() => Scope.fork(this.own(), strategy))
  }

  close(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.suspend(() => this.end(exit))
  }

  /** Closes it at once where nothing was put into it. Who puts something there later finds it closed. */
  end(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    if (this.made !== undefined) return Scope.close(this.made, exit)
    this.ended ??= exit
    return Effect.void
  }

  private own(): Scope.CloseableScope {
    if (this.made !== undefined) return this.made
    const made = Effect.runSync(Scope.make())
    // There is nothing in it that could take its time.
    if (this.ended !== undefined) Effect.runSync(Scope.close(made, this.ended))
    this.made = made
    return made
  }
}
