/** Which answers of another relay are final. */

/** These 4xx are about the caller or the moment, and not about what is asked for: later the answer may be another. */
const laterStatus: ReadonlySet<number> = new Set([401, 407, 408, 429])

/** Whether an answer of this status is final, so that asking again is of no use. */
export const isRefusal = (status: number): boolean =>
  status >= 400 && status < 500 && !laterStatus.has(status)
