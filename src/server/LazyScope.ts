/**
 * The scope of a request, of Effect's own making, where one is asked for: a request that is answered at once needs none. To
 * make one takes a fiber, which costs more than the scope; so some are made in one go.
 */
import { Effect, type Exit, Scope } from "effect"

/** So many are made at once. */
const batch = 64

const makeSome = Effect.replicateEffect(Scope.make(), batch)

/** Those that nobody has yet. */
const ahead: Array<Scope.CloseableScope> = []

const take = (): Scope.CloseableScope => {
  if (ahead.length === 0) ahead.push(...Effect.runSync(makeSome))
  return ahead.pop() ?? Effect.runSync(Scope.make())
}

/** A scope that is nothing until somebody wants it. */
export class LazyScope {
  private taken: Scope.CloseableScope | undefined

  /** The scope, always the same. */
  readonly get = (): Scope.Scope => {
    this.taken ??= take()
    return this.taken
  }

  /** Closes it, if there is one. */
  end(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return this.taken === undefined ? Effect.void : Scope.close(this.taken, exit)
  }
}
