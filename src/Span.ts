/** Spans of what is done for each request. */
import { Effect, type Fiber, FiberRef } from "effect"

/**
 * The effect, in a span of this name where spans are taken. Where none are, the effect itself: spans that nobody takes
 * are a tenth of the event loop's work for an upload into the outbox.
 *
 * @param attributes asked for only where the span is taken
 */
export const within =
  (name: string, attributes: () => Readonly<Record<string, unknown>> = () => ({})) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    around(name)(effect, attributes)

/** The same, of an effect that is made when it begins, with the fiber that does it: a step less than for one that suspends. */
export const begun = <A, E, R>(
  name: string,
  begin: (fiber: Fiber.RuntimeFiber<unknown, unknown>) => Effect.Effect<A, E, R>,
  attributes: () => Readonly<Record<string, unknown>>
): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) =>
    fiber.getFiberRef(FiberRef.currentTracerEnabled)
      ? Effect.withSpan(Effect.withFiberRuntime(begin), name, {
          attributes: attributes(),
          captureStackTrace: false
        })
      : begin(fiber)
  )

/** The same, for what is done so often that it is put together once. */
export const around =
  (name: string) =>
  <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    attributes: () => Readonly<Record<string, unknown>>
  ): Effect.Effect<A, E, R> =>
    Effect.withFiberRuntime((fiber) =>
      fiber.getFiberRef(FiberRef.currentTracerEnabled)
        ? Effect.withSpan(effect, name, { attributes: attributes(), captureStackTrace: false })
        : effect
    )
