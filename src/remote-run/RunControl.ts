/** How a run goes on, in the caller's words: how many nodes at a time, how carefully, and when it is to be given up. */
import type { Duration } from "effect"

/** A number of nodes, or a part of the run's nodes. */
export type Share =
  | { readonly _tag: "Count"; readonly nodes: number }
  /** Thousandths of a percent, so that what was written is meant exactly: 5% is 5000. */
  | { readonly _tag: "Percent"; readonly thousandths: number }

/** What a caller asks for. Each that is absent changes nothing. */
export interface RunControl {
  /** So many nodes at a time, at least one. */
  readonly batch?: Share
  /** So long after the last end of a batch the next one starts. */
  readonly batchWait?: Duration.Duration
  /** The first batch, at least one node: the rest starts only when all of it ended with code 0. */
  readonly canary?: Share
  /** When more than so many nodes have not ended with code 0, no other is started. */
  readonly maxFailures?: Share
  /** Each start is put off by a random part of this. */
  readonly splay?: Duration.Duration
}

const wholePercent = 100_000

/** The nodes that a share of `nodes` is, where a part of a node counts as one. */
export const roundedUp = (share: Share, nodes: number): number =>
  share._tag === "Count" ? share.nodes : Math.ceil((nodes * share.thousandths) / wholePercent)

/** The nodes that a share of `nodes` is, where a part of a node does not count. */
export const roundedDown = (share: Share, nodes: number): number =>
  share._tag === "Count" ? share.nodes : Math.floor((nodes * share.thousandths) / wholePercent)
