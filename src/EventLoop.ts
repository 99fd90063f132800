/** The event loop that everything here shares. */
import { Effect } from "effect"

/** A pause in which whatever else waits gets its turn: between two pieces of long work. */
export const turn: Effect.Effect<void> = Effect.async((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})

/** Things that are begun in one go, each right behind the one before. */
export interface Batch {
  /** Not all of them have been begun yet. */
  readonly isGoing: boolean
}

/** Things that wait to be begun together. */
export interface Together<A> {
  readonly add: (thing: A) => void
  /** Begins those that wait now. */
  readonly begin: () => void
}

/**
 * Begins things behind the last of those that come in the same turn of the event loop: once all has been read that the
 * system has for this process, and in the order in which they came.
 *
 * @param begin must not throw. `batch` is undefined where a thing came alone.
 */
export const together = <A>(begin: (thing: A, batch: Batch | undefined) => void): Together<A> => {
  let waiting: Array<A> = []
  const beginAll = () => {
    const things = waiting
    waiting = []
    const batch = { isGoing: true }
    const shared = things.length > 1 ? batch : undefined
    for (const thing of things) begin(thing, shared)
    batch.isGoing = false
  }
  return {
    add: (thing) => {
      if (waiting.push(thing) === 1) setImmediate(beginAll)
    },
    begin: beginAll
  }
}
