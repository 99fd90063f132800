/** How far a run has come: its journal, and how many of its nodes run, were well in the end, or failed. */
import type { Journal } from "./journal/JournalSource.ts"
import { NodeLog } from "./journal/NodeLog.ts"
import { type Counts, type NodeEnding, type NodeOutcome, verdict } from "./RunEvent.ts"
import { type RunHead, type RunSummary, summaryOf } from "./RunRecord.ts"

/** Every part of a run that writes or counts does it here. */
export class RunProgress {
  /** Nodes whose agents run. */
  running = 0
  /** Told of each node's one end, when it is written. */
  onEnd: (outcome: NodeOutcome) => void = () => {}
  private endedWell = 0
  private endedBadly = 0
  private skipped = 0
  readonly head: RunHead
  readonly journal: Journal
  private readonly outputLimit: number

  /** @param outputLimit bytes of output that are kept of a node */
  constructor(head: RunHead, journal: Journal, outputLimit: number) {
    this.head = head
    this.journal = journal
    this.outputLimit = outputLimit
  }

  /** What the list shows of the run. */
  get summary(): RunSummary {
    return summaryOf(this.head, { running: this.running, ...this.result })
  }

  /** Who asked and why, for the log lines of the run. */
  get words(): Readonly<Record<string, string>> {
    const { address, key, actor, reason } = this.head.by ?? { address: "" }
    return {
      ...(address === "" ? {} : { address }),
      ...(key === undefined ? {} : { key_hash: key }),
      ...(actor === undefined ? {} : { actor }),
      ...(reason === undefined ? {} : { reason })
    }
  }

  /** How many nodes have ended well, how many have not, and how many were skipped. */
  get result(): Counts {
    const { endedWell: ok, endedBadly: failed, skipped } = this
    return skipped === 0 ? { ok, failed } : { ok, failed, skipped }
  }

  /**
   * A node's part in the journal.
   *
   * @param now milliseconds since 1970
   * @param nodes how many nodes share what is printed there, and so the room for it
   */
  logOf(node: string, now: number, nodes = 1): NodeLog {
    return new NodeLog({
      journal: this.journal,
      node,
      keep: this.head.output === "keep",
      outputLimit: this.outputLimit * nodes,
      started: now
    })
  }

  /** Writes the end of a node, unless it has one: then this gives undefined. `now` in milliseconds since 1970. */
  end(log: NodeLog, ending: NodeEnding, now: number): NodeOutcome | undefined {
    const outcome = log.end(ending, now)
    if (outcome === undefined) return undefined
    const result = verdict(outcome)
    if (result === "ok") this.endedWell++
    if (result === "failed") this.endedBadly++
    if (result === "skipped") this.skipped++
    this.onEnd(outcome)
    return outcome
  }
}
