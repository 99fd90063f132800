/** Why a node of a run is not ok. Loads nothing: completions name these words, too. */

/** `failed` is whatever is none of the others: a code, a signal, a time-out, an error. */
export const restReasons = ["failed", "cancelled", "skipped", "unreported", "interrupted"] as const
