/** How much is free on a disk, without asking the system anew for each of many small files. */
import { Effect } from "effect"

/** What is free. */
export interface FreeSpace<E> {
  /**
   * Bytes that are free. Where much more than `size` and `least` was free a moment ago, what was free then, less all that
   * was asked for since; else what is free now.
   */
  readonly beside: (size: number, least: number) => Effect.Effect<number, E>
  /** The same without a look at the disk, at this time (milliseconds since 1970); undefined: there has to be one. */
  readonly known: (size: number, least: number, now: number) => number | undefined
  /** Something was written that nobody asked for: the next one asks the system. */
  readonly forget: () => void
}

/** So long it is believed: milliseconds. */
const moment = 1000

/** So much may be written in a moment by others: bytes. What is left beside it is much. */
const slack = 256 * 1024 * 1024

/** Of what is larger than this the system is asked each time: bytes. */
const small = 1024 * 1024

/** @param look asks the system: bytes */
export const make = <E>(look: Effect.Effect<number, E>): FreeSpace<E> => {
  let left = 0
  let seen = Number.NEGATIVE_INFINITY
  const known = (size: number, least: number, now: number): number | undefined => {
    const age = now - seen
    if (size > small || age < 0 || age >= moment || left - size - least < slack) return undefined
    const before = left
    left -= size
    return before
  }
  return {
    known,
    beside: (size, least) =>
      Effect.clockWith((clock) => {
        const now = clock.unsafeCurrentTimeMillis()
        const before = known(size, least, now)
        if (before !== undefined) return Effect.succeed(before)
        return Effect.map(look, (free) => {
          left = free - size
          seen = now
          return free
        })
      }),
    forget: () => {
      seen = Number.NEGATIVE_INFINITY
    }
  }
}
