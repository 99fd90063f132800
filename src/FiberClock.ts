/** The clock of a fiber, for what is in its hands already: to ask an effect for it costs some steps each time. */
import { Clock, Context, type Fiber } from "effect"

/** To be asked by the fiber itself, as `Effect.withFiberRuntime` gives it. */
export const of = ({ currentDefaultServices }: Fiber.RuntimeFiber<unknown, unknown>): Clock.Clock =>
  Context.get(currentDefaultServices, Clock.Clock)
