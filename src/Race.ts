/** Races whose runners are all at their ends when the race is. */
import { Effect } from "effect"

/**
 * What ends first. `Effect.raceFirst`, interrupted, goes on at once and leaves its runners behind, which still use what is
 * closed then; here the runners are interrupted, and waited for. Each must be interruptible, or come to its end by itself.
 */
export const first = <A, E, R, A2, E2, R2>(
  one: Effect.Effect<A, E, R>,
  other: Effect.Effect<A2, E2, R2>
): Effect.Effect<A | A2, E | E2, R | R2> =>
  Effect.uninterruptibleMask((restore) => Effect.raceFirst(restore(one), restore(other)))
