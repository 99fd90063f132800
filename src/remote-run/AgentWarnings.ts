/** What went wrong with the agents of a run, for the log: a caller of the first dialect sees none of it. */
import { Effect } from "effect"
import type { NodeOutcome } from "./RunEvent.ts"

/** Tells in the log which agents failed. */
export interface AgentWarnings {
  /** One line with the reason, where it is not well and nobody asked for its end. */
  readonly ended: (outcome: NodeOutcome) => Effect.Effect<void>
  /** How many went without a line. */
  readonly rest: Effect.Effect<void>
}

/** Lines of one run. */
const limit = 20
/** Characters of what an agent said. */
const maxSaid = 300

/** The last line of stderr, fit for a log. */
const lastLine = (stderr: string): string =>
  (stderr.trimEnd().split("\n").at(-1) ?? "").replace(/\p{Cc}/gu, " ").slice(0, maxSaid)

/** Why it is not well; undefined when it is, or was cancelled. */
const reasonOf = (outcome: NodeOutcome): string | undefined => {
  const { code, signal, timeout, cancelled, error, stderr } = outcome
  if (code === 0 || cancelled === true) return undefined
  if (error !== undefined) return error.message
  if (timeout === true) return "it took longer than remote_run.timeout"
  if (signal !== undefined) return `it was ended by ${signal}`
  const said = lastLine(stderr)
  return `it ended with code ${code}${said === "" ? "" : `: ${said}`}`
}

/** Those of one run. */
export const make = (): AgentWarnings => {
  let count = 0
  return {
    ended: (outcome) =>
      Effect.suspend(() => {
        const reason = reasonOf(outcome)
        if (reason === undefined || ++count > limit) return Effect.void
        return Effect.logWarning("an agent failed").pipe(Effect.annotateLogs({ problem: reason }))
      }),
    rest: Effect.suspend(() =>
      count <= limit
        ? Effect.void
        : Effect.logWarning("more agents failed").pipe(Effect.annotateLogs({ agents: count - limit }))
    )
  }
}
