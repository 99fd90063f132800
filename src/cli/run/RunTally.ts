/** How far a run has come, as its events say. */
import { type NodeOutcome, type RunDone, type RunStarted, verdict } from "../../remote-run/RunEvent.ts"
import type { RunStreamEvent } from "../../remote-run/RunStreamEvent.ts"

/** Nodes of a run by their states, and how it ended. */
export class RunTally {
  /** The run's first event. */
  started: RunStarted | undefined
  /** The last one. */
  done: RunDone | undefined
  ok = 0
  /** Whatever has ended without code 0. */
  failed = 0
  /** Of these, those that were not started, since too many others had failed. */
  skipped = 0
  /** How much the relay has said, pings too. */
  events = 0
  private readonly agents = new Set<string>()

  /** Nodes whose agents run. */
  get running(): number {
    return this.agents.size
  }

  /** All nodes of the run. */
  get nodes(): number {
    return this.started?.nodes.length ?? 0
  }

  /** Nodes that have their end. */
  get ended(): number {
    return this.ok + this.failed
  }

  /** Nodes that have not been started. */
  get waiting(): number {
    return Math.max(0, this.nodes - this.ended - this.running)
  }

  /** Every node that was asked for has ended with code 0. */
  get isAllWell(): boolean {
    return (
      this.done !== undefined &&
      this.done.interrupted === undefined &&
      this.ok === this.nodes &&
      this.failed === 0 &&
      this.started?.unknown.length === 0
    )
  }

  /** Takes one more event. */
  meet(event: RunStreamEvent): void {
    this.events++
    if (event.event === "run") this.started = event
    else if (event.event === "start") this.agents.add(event.node)
    else if (event.event === "end") this.end(event.node, event)
    else if (event.event === "done") this.done = event
  }

  private end(node: string, outcome: NodeOutcome): void {
    this.agents.delete(node)
    const found = verdict(outcome)
    if (found === "ok") this.ok++
    else this.failed++
    if (found === "skipped") this.skipped++
  }
}
