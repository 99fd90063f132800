/** Chance that can be had again: `E2E_SEED` replays what a failed test printed. */

export interface Chance {
  readonly seed: number
  /** From 0 up to, not including, 1. */
  readonly next: () => number
  /** A whole number from 0 up to, not including, the bound. */
  readonly below: (bound: number) => number
  readonly pick: <A>(items: ReadonlyArray<A>) => A
  readonly bytes: (count: number) => Buffer
}

/** A number from the environment. */
export const setting = (name: string, otherwise: number): number => {
  const text = process.env[name]
  if (text === undefined || text === "") return otherwise
  const value = Number(text)
  if (!Number.isFinite(value) || value < 0) throw new Error(`${name}: expected a number, found ${text}`)
  return value
}

export const chance = (seed = setting("E2E_SEED", Math.floor(Math.random() * 2 ** 31))): Chance => {
  let state = seed >>> 0
  // Mulberry32: small, and good enough to choose by.
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (bound: number) => Math.floor(next() * bound)
  const pick = <A>(items: ReadonlyArray<A>): A => {
    const [item] = items.slice(below(items.length))
    if (item === undefined) throw new Error("nothing to pick from")
    return item
  }
  return {
    seed,
    next,
    below,
    pick,
    bytes: (count) => Buffer.from(Array.from({ length: count }, () => below(256)))
  }
}
