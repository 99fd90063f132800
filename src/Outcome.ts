/**
 * What comes of something, known once, to one who waits for it. A `Deferred` is for any number of those, and costs five
 * microseconds to make: where each item has several, more than most of what is done with it.
 */
import { Effect } from "effect"

/** What came of it, or who is to be told. */
export interface Outcome<A, E = never> {
  known: Effect.Effect<A, E> | undefined
  tell: (outcome: Effect.Effect<A, E>) => void
}

const nobody = () => {}

/** Nothing is known yet. */
export const make = <A, E = never>(): Outcome<A, E> => ({ known: undefined, tell: nobody })

/** It is known now, unless it was before. */
export const end = <A, E>(outcome: Outcome<A, E>, known: Effect.Effect<A, E>): void => {
  if (outcome.known !== undefined) return
  outcome.known = known
  outcome.tell(known)
}

/**
 * Waits until it is known; it is what is known where that is so when this is called. One waits at a time: who comes later
 * takes the place of who was there.
 */
export const wait = <A, E>(outcome: Outcome<A, E>): Effect.Effect<A, E> =>
  outcome.known ??
  Effect.async<A, E>((resume) => {
    if (outcome.known === undefined) outcome.tell = resume
    else resume(outcome.known)
  })
