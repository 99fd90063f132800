/** Spans around agents, which are many: where nothing is traced they cost nothing. */
import { Effect, FiberRef } from "effect"

/** The effect in a span of this name; without one where nobody takes spans, since also one that is dropped has its price. */
export const around = <A, E>(
  effect: Effect.Effect<A, E>,
  name: string,
  attributes: Record<string, unknown>
): Effect.Effect<A, E> =>
  Effect.flatMap(FiberRef.get(FiberRef.currentTracerEnabled), (isTraced) =>
    isTraced ? Effect.withSpan(effect, name, { attributes, captureStackTrace: false }) : effect
  )
