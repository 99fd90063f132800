/** A run, and how its nodes ended, in words. */
import type { NodeOutcome } from "../remote-run/RunEvent.ts"
import type { NodeState, RunSummary } from "../remote-run/RunRecord.ts"

/** What is known of how a node ended. */
type Ended = { readonly [Field in keyof NodeOutcome]?: NodeOutcome[Field] | undefined }

/** How a node ended. */
const outcome = (ended: Ended): string => {
  if (ended.code === 0) return "ok"
  if (ended.skipped === true) return "skipped"
  if (ended.cancelled === true) return "cancelled"
  if (ended.timeout === true) return "timed out"
  if (ended.unreported === true) return "unreported"
  if (ended.interrupted === true) return "interrupted"
  if (typeof ended.code === "number") return `code ${ended.code}`
  return ended.signal ?? ended.error?._tag ?? "no code"
}

/** How a node is. */
export const state = (node: NodeState): string => (node.state === "ended" ? outcome(node) : node.state)

/** Why a node is not ok, in one line: the error, else the last line of its stderr. */
export const reason = ({ code, error, stderr = "" }: Ended): string =>
  code === 0 ? "" : (error?.message ?? stderr.trimEnd().split("\n").at(-1) ?? "")

/** How many nodes of a run wait; or, once it is over, are unreported: the relay does not tell the two apart here. */
const rest = ({ failed, nodes, ok, running, skipped = 0 }: RunSummary): number =>
  Math.max(0, nodes - running - ok - failed - skipped)

/** How many nodes of a run are how; none of those that are ok. */
const others = (run: RunSummary): ReadonlyArray<string> => {
  const { failed, running, skipped = 0 } = run
  const numbers = [
    [running, "running"],
    [failed, "failed"],
    [skipped, "skipped"],
    [rest(run), running > 0 ? "waiting" : "waiting or unreported"]
  ] as const
  return numbers.filter(([count]) => count > 0).map(([count, word]) => `${count} ${word}`)
}

/** How a run is, in short: what is not well with it, else `ok`. */
export const result = (run: RunSummary): string => {
  const all = [...(run.interrupted === true ? ["interrupted"] : []), ...others(run)]
  return all.length > 0 ? all.join(", ") : "ok"
}

/** How many nodes of a run are how. */
export const counts = (run: RunSummary): string =>
  [`${run.ok} ok`, ...others(run), ...(run.interrupted === true ? ["interrupted by a crash"] : [])].join(", ")

/** Who asked for a run. */
export const by = (run: Pick<RunSummary, "by">): string => run.by?.actor ?? run.by?.address ?? ""
