/**
 * In which batches a run goes on, and when it is given up: what may start next, given what ended. A value, and plain
 * functions on it. Nodes are places in the run's list, from 0 on; a batch is the nodes that follow those of the batch
 * before, whoever runs them.
 */
import { type RunControl, roundedDown, roundedUp } from "./RunControl.ts"

/** What was asked for, in numbers of nodes. */
export interface RunPolicy {
  /** All nodes of the run. */
  readonly nodes: number
  /** The size of the first batch, all of which has to end well; 0: the first batch is one like the others. */
  readonly canary: number
  /** The size of every other batch but the last. At least 1. */
  readonly batch: number
  /** More nodes than these may not fail. */
  readonly maxFailures: number
}

/** How far a run has come. */
export interface Course {
  /** The first so many nodes may start, or have started. */
  readonly released: number
  /** So many of them have their end. */
  readonly ended: number
  /** So many of these did not end with code 0. */
  readonly failed: number
}

/**
 * What is to be done:
 *
 * - `Release`: the nodes from the place `from` to before `to` are the next batch, and may start.
 * - `Wait`: nodes of the batch have no end yet.
 * - `Stop`: no node is to be started any more.
 * - `Over`: every node has its end.
 */
export type Step =
  | { readonly _tag: "Release"; readonly from: number; readonly to: number }
  | { readonly _tag: "Wait" }
  | { readonly _tag: "Stop"; readonly because: "canary" | "failures" }
  | { readonly _tag: "Over" }

/** The policy of a run of so many nodes. */
export const make = ({ batch, canary, maxFailures }: RunControl, nodes: number): RunPolicy => ({
  nodes,
  canary: canary === undefined ? 0 : Math.max(1, roundedUp(canary, nodes)),
  batch: Math.max(1, batch === undefined ? nodes : roundedUp(batch, nodes)),
  maxFailures: maxFailures === undefined ? Number.POSITIVE_INFINITY : roundedDown(maxFailures, nodes)
})

/** Before the first node. */
export const beginning: Course = { released: 0, ended: 0, failed: 0 }

/** The next batch was released. */
export const released = (course: Course, to: number): Course => ({ ...course, released: to })

/** One more node has its end. */
export const ended = ({ released, ended, failed }: Course, well: boolean): Course => ({
  released,
  ended: ended + 1,
  failed: failed + (well ? 0 : 1)
})

/** What is to be done now. */
export const next = (
  { nodes, canary, batch, maxFailures }: RunPolicy,
  { released, ended, failed }: Course
): Step => {
  if (failed > maxFailures) return { _tag: "Stop", because: "failures" }
  if (ended < released) return { _tag: "Wait" }
  if (released >= nodes) return { _tag: "Over" }
  if (canary > 0 && released > 0 && released <= canary && failed > 0)
    return { _tag: "Stop", because: "canary" }
  const size = released === 0 && canary > 0 ? canary : batch
  return { _tag: "Release", from: released, to: Math.min(nodes, released + size) }
}

/** The number of the batch that a place is in, from 1 on. */
export const batchOf = ({ canary, batch }: RunPolicy, place: number): number => {
  if (canary === 0) return 1 + Math.floor(place / batch)
  return place < canary ? 1 : 2 + Math.floor((place - canary) / batch)
}
