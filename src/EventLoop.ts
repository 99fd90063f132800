/** The event loop that everything here shares. */
import { Effect } from "effect"

/** A pause in which whatever else waits gets its turn: between two pieces of long work. */
export const turn: Effect.Effect<void> = Effect.async((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})
