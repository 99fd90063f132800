/**
 * A bound on how much is done at once. Of Effect's own semaphore a permit is lost where a wait is interrupted in the turn
 * that it is given in; here it is handed on (`Line`).
 */
import { Effect } from "effect"
import * as Line from "./Line.ts"

/** Does something with a permit, which is waited for where all are taken. */
export type Permits = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** So many permits, which those who wait get in their order. */
export const make = (most: number): Permits => {
  const line: Line.Line = []
  let taken = 0
  const give = () => {
    if (!Line.handOver(line)) taken--
  }
  return (effect) =>
    Effect.uninterruptibleMask((restore) => {
      const held = Effect.ensuring(restore(effect), Effect.sync(give))
      if (taken < most) {
        taken++
        return held
      }
      const { wait, giveUp } = Line.stand(line, give)
      return Effect.andThen(
        Effect.onInterrupt(restore(wait), () => Effect.sync(giveUp)),
        held
      )
    })
}
