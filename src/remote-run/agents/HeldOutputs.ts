/**
 * Output that is held open by what agents left behind.
 *
 * Nobody wants this output any more. But a writer is ended by a pipe whose reader has closed it, and stopped by a pipe
 * that is not read: so the output is read and dropped.
 */
import { Effect, type Scope } from "effect"
import type { AgentChild } from "./AgentChild.ts"

export interface HeldOutputs {
  /** Reads on until no process holds the output open. */
  readonly hold: (child: AgentChild) => Effect.Effect<void>
}

/** Outputs of so many agents are held at once; beyond that the oldest are closed. */
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
      child.discard()
      held.add(child)
      const [oldest] = held
      if (held.size > limit && oldest !== undefined) {
        held.delete(oldest)
        oldest.close()
      }
      yield* child.drained.pipe(
        Effect.andThen(Effect.sync(() => held.delete(child))),
        Effect.interruptible,
        Effect.forkIn(scope)
      )
    })
  return { hold }
})
