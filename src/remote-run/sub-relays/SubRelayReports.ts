/** What a sub-relay reports, written down in a run: of each node one start at most, and nothing behind its end. */
import type { Clock } from "effect"
import type { NodeLog } from "../journal/NodeLog.ts"
import type { NodeEnding } from "../RunEvent.ts"
import type { RunProgress } from "../RunProgress.ts"
import type { SubRelayNode, SubRelayOrder, SubRelayOutput } from "./SubRelays.ts"

/** Where the order for a sub-relay has its reports written. */
export interface SubRelayReports extends Pick<SubRelayOrder, "report" | "output"> {
  /** Gives the nodes that have no end this one. Returns how many bytes of the sub-relay's own lines were not kept. */
  readonly finish: (missing: NodeEnding) => number
}

/** The reports of one order; `clock` says when nodes start and end. */
export const make = (
  progress: RunProgress,
  { relay, nodes }: Pick<SubRelayOrder, "relay" | "nodes">,
  clock: Clock.Clock
): SubRelayReports => {
  const now = () => clock.unsafeCurrentTimeMillis()
  const started = now()
  /** The logs of nodes that have no end yet. */
  const logs = new Map<string, NodeLog>()
  const running = new Set<string>()
  const ended = new Set<string>()
  /** The logs of lines that the sub-relay printed itself. */
  const ownLines: Array<NodeLog> = []

  const logOf = (node: string) => {
    const log = logs.get(node) ?? progress.logOf(node, started)
    logs.set(node, log)
    return log
  }
  const end = (node: string, ending: NodeEnding) => {
    if (ended.has(node)) return
    if (running.delete(node)) progress.running--
    progress.end(logOf(node), ending, now())
    ended.add(node)
    logs.delete(node)
  }
  const report = (node: string): SubRelayNode => ({
    write: (stream, bytes, resume) => ended.has(node) || logOf(node).write(stream, bytes, resume),
    start: (hostname) => {
      if (ended.has(node) || running.has(node)) return
      progress.running++
      running.add(node)
      logOf(node).start(hostname)
    },
    end: (ending) => end(node, ending)
  })
  const output = (): SubRelayOutput => {
    const log = progress.logOf(relay.id, started, nodes.length)
    ownLines.push(log)
    return { write: log.write, over: () => log.close() }
  }
  const finish = (missing: NodeEnding) => {
    for (const log of ownLines) log.close()
    for (const node of nodes) end(node, missing)
    return ownLines.reduce((sum, log) => sum + log.dropped, 0)
  }
  return { report, output, finish }
}
