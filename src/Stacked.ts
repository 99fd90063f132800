/**
 * Layers on one another, as `Layer.provide` and `Layer.provideMerge` have them. Those make up to five more layers of each
 * use, and each of them is remembered, has a scope and a place to wait for it: that was a sixth of a whole start. Here it
 * is one.
 */
import { Context, Effect, Layer, Option } from "effect"

/** In the scope of the layer that uses it. What several of a program use is made once, as by Effect's own. */
const built = <A, E, R>(layer: Layer.Layer<A, E, R>) =>
  Effect.flatMap(Layer.CurrentMemoMap, (known) =>
    Effect.scopeWith((scope) => Layer.buildWithMemoMap(layer, known, scope))
  )

/** As `Layer.provide`. */
export const provide =
  <A, E, R>(below: Layer.Layer<A, E, R>) =>
  <A2, E2, R2>(above: Layer.Layer<A2, E2, R2>) =>
    Layer.scopedContext(Effect.flatMap(built(below), (given) => Effect.provide(built(above), given)))

/** As `Layer.provideMerge`. */
export const provideMerge =
  <A, E, R>(below: Layer.Layer<A, E, R>) =>
  <A2, E2, R2>(above: Layer.Layer<A2, E2, R2>) =>
    Layer.scopedContext(
      Effect.flatMap(built(below), (given) =>
        Effect.map(Effect.provide(built(above), given), (made) => Context.merge(given, made))
      )
    )

/**
 * The service that is provided already, or else the live one, which is no other relay's: so live Layers use what a program
 * put in their place.
 */
export const orGiven = <I, S, E, R>(service: Context.Tag<I, S>, layer: Layer.Layer<I, E, R>) =>
  Layer.scopedContext(
    Effect.flatMap(
      Effect.serviceOption(service),
      Option.match({
        onNone: () => Layer.build(layer),
        onSome: (given) => Effect.succeed(Context.make(service, given))
      })
    )
  )
