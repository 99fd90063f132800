/** How one output differs from another, in the unified form. */
import { FILE_HEADERS_ONLY, formatPatch, structuredPatch } from "diff"

/** An output, and whose it is. */
export interface Output {
  readonly name: string
  readonly text: string
}

/** Outputs that have more lines of their own are shown whole: to find the difference would take too long. */
const maxEditLength = 1000

/** The lines of the difference; none where there is none; undefined where it is nearly all. */
export const lines = (one: Output, other: Output): ReadonlyArray<string> | undefined => {
  const patch = structuredPatch(one.name, other.name, one.text, other.text, undefined, undefined, {
    context: 3,
    maxEditLength
  })
  if (patch === undefined) return undefined
  if (patch.hunks.length === 0) return []
  return formatPatch(patch, FILE_HEADERS_ONLY).replace(/\n$/, "").split("\n")
}
