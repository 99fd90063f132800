/**
 * Output that is held open by what agents left behind.
 *
 * Nobody wants it any more, but a pipe that its reader closes ends whoever writes to it, and one that is not read stops
 * them. So it is read and dropped.
 */
import { Deferred, Effect, type Scope } from "effect"
import type { AgentChild } from "./AgentChild.ts"

export interface HeldOutputs {
  /** Reads on until nobody holds it. */
  readonly hold: (child: AgentChild) => Effect.Effect<void>
}

/** Of so many agents at once; then those that have been held for longest are closed. */
const limit = 256

/** All are closed at the end of the scope. */
export const make: Effect.Effect<HeldOutputs, never, Scope.Scope> = Effect.gen(function* () {
  const scope = yield* Effect.scope
  const held = new Set<AgentChild>()
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const child of held) child.close()
    })
  )

  const hold: HeldOutputs["hold"] = (child) =>
    Effect.gen(function* () {
      if (yield* Deferred.isDone(child.drained)) return
      child.discard()
      held.add(child)
      const [oldest] = held
      if (held.size > limit && oldest !== undefined) {
        held.delete(oldest)
        oldest.close()
      }
      yield* Deferred.await(child.drained).pipe(
        Effect.andThen(Effect.sync(() => held.delete(child))),
        Effect.interruptible,
        Effect.forkIn(scope)
      )
    })
  return { hold }
})
