/** What goes on now, over all runs. */
import { Effect } from "effect"
import type { AgentPermits } from "./agents/AgentPermits.ts"
import type { AgentProcessService } from "./agents/AgentProcess.ts"
import type { RunExecution } from "./RunExecution.ts"

/** Counts of this moment. */
export interface RunActivity {
  readonly runs: number
  /** Agents that run. */
  readonly agents: number
  /** Own nodes that may start, and wait for others to end. */
  readonly waiting: number
  /** Agents that took longer than `remote_run.timeout`, are being ended, and are still there. */
  readonly overdue: number
  /** Processes of agents that were ended and can't be signalled. */
  readonly unkillable: number
}

/** Of these runs. */
export const of = (
  active: ReadonlyMap<unknown, { readonly execution: RunExecution }>,
  permits: AgentPermits,
  agents: AgentProcessService
): Effect.Effect<RunActivity> =>
  Effect.gen(function* () {
    let waiting = 0
    let overdue = 0
    for (const { execution } of active.values()) {
      waiting += execution.waiting()
      overdue += execution.overdue()
    }
    const unkillable = yield* agents.unkillable
    return { runs: active.size, agents: yield* permits.inUse, waiting, overdue, unkillable }
  })
