/** The first of many texts by their order, without holding more than a few times as many. */

/** Takes texts one by one. */
export interface Smallest {
  /** Whether this text may be among them, as far as is known by now. */
  readonly mayBe: (text: string) => boolean
  /** To be called where it may be. */
  readonly add: (text: string) => void
  /** The smallest of all that were added, in their order. */
  readonly sorted: () => ReadonlyArray<string>
}

/** The `count` smallest, by code units. */
export const make = (count: number): Smallest => {
  let kept: Array<string> = []
  let largest: string | undefined
  const cut = () => {
    kept = kept.sort().slice(0, count)
    if (kept.length === count) largest = kept.at(-1)
  }
  return {
    mayBe: (text) => largest === undefined || text < largest,
    add: (text) => {
      kept.push(text)
      if (kept.length >= 4 * count) cut()
    },
    sorted: () => {
      cut()
      return kept
    }
  }
}
