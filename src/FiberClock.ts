/** The clock of a fiber, for what is in its hands already: to ask an effect for it costs some steps each time. */
import { Clock, Context, Effect, type Fiber } from "effect"

/** To be asked by the fiber itself, as `Effect.withFiberRuntime` gives it. */
export const of = ({ currentDefaultServices }: Fiber.RuntimeFiber<unknown, unknown>): Clock.Clock =>
  Context.get(currentDefaultServices, Clock.Clock)

/** Milliseconds by the monotonic clock: the wall's may be set. */
export const monotonic: Effect.Effect<number> = Effect.map(Clock.currentTimeNanos, (nanos) =>
  Number(nanos / 1_000_000n)
)
