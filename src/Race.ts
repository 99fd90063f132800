/** Races that leave nothing behind, and that are not left behind. */
import { type Duration, Effect, Fiber, type Option } from "effect"

/**
 * What ends first. `Effect.raceFirst`, interrupted, goes on at once and leaves its runners behind, which still use what is
 * closed then; here the runners are interrupted, and waited for. Each must be interruptible, or come to its end by itself.
 */
export const first = <A, E, R, A2, E2, R2>(
  one: Effect.Effect<A, E, R>,
  other: Effect.Effect<A2, E2, R2>
): Effect.Effect<A | A2, E | E2, R | R2> =>
  Effect.uninterruptibleMask((restore) => Effect.raceFirst(restore(one), restore(other)))

/**
 * Waits at the end of a scope, which nobody interrupts, and no longer than this. Effect tells an interruption to the children
 * of a fiber also where that can't be interrupted itself: a second one would end a race of its, and skip all behind that.
 * So this race is not its child.
 */
export const atMost = <A, E, R>(
  wait: Effect.Effect<A, E, R>,
  limit: Duration.DurationInput
): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.timeoutOption(Effect.interruptible(wait), limit).pipe(
    Effect.forkDaemon,
    Effect.flatMap(Fiber.join),
    Effect.uninterruptible
  )
