/**
 * Sees whether exchanges get on: one look at all of them, now and then. A timer and a fiber for each would cost as much as a
 * fifth of all that asking takes.
 */
import { Duration, Effect, type Scope } from "effect"
import { Bag } from "../Bag.ts"

/** Something that is to get on. */
export interface Watched {
  /** How often it got on. */
  readonly steps: number
  /** It did not, for that long. Called once. */
  readonly fellSilent: () => void
}

/** Watches with one patience. */
export interface SilenceWatch {
  readonly patience: Duration.Duration
  /** Watches from now on, until the function that it gives is called. */
  readonly begin: (watched: Watched) => () => void
}

/** So often within the patience it is looked. What falls silent is seen at most one of these later. */
const looks = 8

interface Seen {
  readonly watched: Watched
  steps: number
  /** Looks since it got on; the first of them comes at any time behind that. */
  still: number
}

/** Whether it fell silent. */
const look = (seen: Seen): boolean => {
  const { steps } = seen.watched
  seen.still = steps === seen.steps ? seen.still + 1 : 0
  seen.steps = steps
  return seen.still > looks
}

/** Looks until the scope ends, while there is something to look at. */
export const make = (patience: Duration.Duration): Effect.Effect<SilenceWatch, never, Scope.Scope> =>
  Effect.gen(function* () {
    const all = new Bag<Seen>()
    const some = Effect.unsafeMakeLatch(false)
    const lookAtAll = Effect.sync(() => {
      for (const seen of [...all].filter(look)) {
        all.remove(seen)
        seen.watched.fellSilent()
      }
      if (all.size === 0) some.unsafeClose()
    })
    const step = Duration.times(patience, 1 / looks)
    yield* Effect.forkScoped(
      Effect.forever(Effect.andThen(some.await, Effect.andThen(Effect.sleep(step), lookAtAll)))
    )
    return {
      patience,
      begin: (watched) => {
        const seen: Seen = { watched, steps: watched.steps, still: 0 }
        all.add(seen)
        some.unsafeOpen()
        return () => all.remove(seen)
      }
    }
  })
