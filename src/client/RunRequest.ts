/** What a client orders of a run, and how that is said to a relay. */
import { Duration } from "effect"
import type { RestReason } from "../remote-run/RunRest.ts"

/** So many nodes, or a share of the run's: `20` or `"10%"`. */
export type NodeAmount = number | `${number}%`

/** Those nodes of a run that are not ok; its classes and output count where none are given. */
export interface RestOf {
  /** The run's id. */
  readonly restOf: string
  /** Those that are not ok for one of these reasons; absent: for any. */
  readonly only?: ReadonlyArray<RestReason>
}

/** A run. Ids are those of the nodes list; what no list has is named in the `run` event. */
export interface RunRequest {
  /** The nodes, all that the relay has, or the rest of another run. */
  readonly nodes: ReadonlyArray<string> | "all" | RestOf
  /** Classes to define, each `^[a-zA-Z0-9][a-zA-Z0-9_]*$`. */
  readonly classes?: ReadonlyArray<string>
  /** `keep` (default): with `output` events, which the history has too; `discard`: without. */
  readonly output?: "keep" | "discard"
  /** So many nodes at a time. */
  readonly batch?: NodeAmount
  /** Between two batches. */
  readonly batchWait?: Duration.DurationInput
  /** The first batch is so large, and the rest starts only when all of it ended with code 0. */
  readonly canary?: NodeAmount
  /** When more than so many have failed, no other node is started. */
  readonly maxFailures?: NodeAmount
  /** Each start is put off by a random part of this. */
  readonly splay?: Duration.DurationInput
  /** Who asks, in the caller's words: at most 200 printable characters. */
  readonly actor?: string
  /** Why, likewise. */
  readonly reason?: string
  /**
   * A start that may have been heard or not is asked for again under this key, and starts no second run: at most 200
   * printable characters, another for each run. Only relays that know `Idempotency-Key` may be given one.
   */
  readonly idempotencyKey?: string
}

/** To the millisecond, in the grammar of durations. */
const print = (duration: Duration.DurationInput): string => `${Math.round(Duration.toMillis(duration))}ms`

/** Below the API's base path: where a run is started. */
export const pathOf = ({ nodes }: RunRequest): string => {
  if (nodes === "all") return "/remote-run/all"
  return "restOf" in nodes
    ? `/remote-run/runs/${encodeURIComponent(nodes.restOf)}/retry`
    : "/remote-run/nodes"
}

/** What says in a form which nodes are meant. */
const chosen = (nodes: RunRequest["nodes"]): Record<string, string | undefined> => {
  if (nodes === "all") return {}
  return "restOf" in nodes ? { only: nodes.only?.join(",") } : { nodes: nodes.join(",") }
}

/** The form of a run whose events come as they happen; or, with `preview`, of the question what it would be. */
export const formOf = (
  request: RunRequest,
  { preview = false }: { readonly preview?: boolean } = {}
): Record<string, string> => {
  const { nodes, classes = [], output, batch, batchWait, canary, maxFailures, splay } = request
  const given: Record<string, string | undefined> = {
    async: preview ? undefined : "yes",
    format: preview ? undefined : "ndjson",
    preview: preview ? "yes" : undefined,
    output: output ?? (typeof nodes === "object" && "restOf" in nodes ? undefined : "keep"),
    ...chosen(nodes),
    classes: classes.length === 0 ? undefined : classes.join(","),
    batch: batch?.toString(),
    batch_wait: batchWait === undefined ? undefined : print(batchWait),
    canary: canary?.toString(),
    max_failures: maxFailures?.toString(),
    splay: splay === undefined ? undefined : print(splay),
    actor: request.actor,
    reason: request.reason
  }
  return Object.fromEntries(
    Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
  )
}
