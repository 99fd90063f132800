/** The known name that someone probably meant. */

/** How many letters have to be put in, taken out or replaced to make one text of the other. */
export const distance = (one: string, other: string): number => {
  let row = Array.from({ length: other.length + 1 }, (_, column) => column)
  for (const [line, letter] of one.split("").entries()) {
    const next = [line + 1]
    for (let column = 1; column <= other.length; column++)
      next.push(
        Math.min(
          (row[column] ?? 0) + 1,
          (next[column - 1] ?? 0) + 1,
          (row[column - 1] ?? 0) + (letter === other[column - 1] ? 0 : 1)
        )
      )
    row = next
  }
  return row[other.length] ?? 0
}

/** Longer texts are nobody's slip, and would take long to compare. */
const longest = 100

const last = (key: string): string => key.slice(key.lastIndexOf(".") + 1)

/**
 * The nearest of the known keys; undefined where none is near. Near is a key of which up to a third is otherwise, and one
 * that only stands in another section.
 */
export const nearest = (key: string, known: ReadonlyArray<string>): string | undefined => {
  if (key.length > longest) return undefined
  const scored = known.map((candidate) => ({
    candidate,
    score: distance(key, candidate) * (last(candidate) === last(key) ? 0.1 : 1)
  }))
  const best = scored.reduce((found, one) => (one.score < found.score ? one : found), {
    candidate: "",
    score: Number.POSITIVE_INFINITY
  })
  return best.score <= Math.max(2, key.length / 3) ? best.candidate : undefined
}
