/** What is counted of runs and agents. */
import * as Counters from "../Counters.ts"
import type { Counts, NodeOutcome } from "./RunEvent.ts"

/**
 * How a run ended.
 *
 * - `ok`: every node with code 0.
 * - `stopped`: nodes were skipped, since too many others had failed.
 * - `failed`: some node was not well, and nobody had cancelled the run.
 */
export type RunOutcome = "ok" | "failed" | "stopped" | "cancelled"

const runs = Counters.family<RunOutcome>("runs_total", "Remote runs that have ended, by how", "outcome", [
  "ok",
  "failed",
  "stopped",
  "cancelled"
])

const agents = Counters.family(
  "agents_total",
  "Agents of this relay's own nodes that were started and have ended, by how",
  "outcome",
  ["ok", "failed", "signal", "timeout", "cancelled", "error"]
)

/** Seconds: an agent takes some, as a rule, and may take an hour. */
const took = Counters.histogram(
  "agent_seconds",
  "Time that agents of this relay's own nodes took",
  Counters.bounds([0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600])
)

/** How a run with these counts ended. */
export const outcomeOf = (isCancelled: boolean, { failed, skipped }: Counts): RunOutcome => {
  if (isCancelled) return "cancelled"
  if ((skipped ?? 0) > 0) return "stopped"
  return failed > 0 ? "failed" : "ok"
}

/** A run ended. */
export const runEnded = (outcome: RunOutcome): void => runs(outcome)

const agentOutcome = ({ code, signal, timeout, cancelled }: NodeOutcome) => {
  if (code !== null) return code === 0 ? "ok" : "failed"
  if (timeout === true) return "timeout"
  if (cancelled === true) return "cancelled"
  return signal === undefined ? "error" : "signal"
}

/** An agent ended. */
export const agentEnded = (outcome: NodeOutcome): void => {
  agents(agentOutcome(outcome))
  took(outcome.duration)
}
