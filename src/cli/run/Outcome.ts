/** How a node's part in a run ended, in words. */
import type { NodeOutcome } from "../../remote-run/RunEvent.ts"

/** In a few words; nothing that differs between nodes that ended alike, such as a duration. */
export const describe = (outcome: NodeOutcome): string => {
  if (outcome.skipped === true) return "not started, since too many others had failed"
  if (outcome.cancelled === true) return "cancelled"
  if (outcome.timeout === true) return "timed out"
  if (outcome.unreported === true) return "how it ended is not reported, by an older relay"
  if (outcome.error !== undefined) return outcome.error.message
  if (outcome.interrupted === true) return "cut off by a crash of the relay"
  if (outcome.signal !== undefined) return `ended by ${outcome.signal}`
  return outcome.code === null ? "ended without a code" : `code ${outcome.code}`
}
