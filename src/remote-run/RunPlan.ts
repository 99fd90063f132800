/** Which nodes a run is for, and who runs each: this relay, or one of its sub-relays. */
import { Effect, Option } from "effect"
import * as EventLoop from "../EventLoop.ts"
import type { NodeId } from "../NodeId.ts"
import type { Node } from "../topology/Node.ts"
import type { Nodes } from "../topology/NodesList.ts"

/** What is asked for. `One` of an unknown id is an error; unknown ids of `Nodes` are named and left out. */
export type RunTarget =
  | { readonly _tag: "All" }
  | { readonly _tag: "Nodes"; readonly ids: ReadonlyArray<NodeId> }
  | { readonly _tag: "One"; readonly id: NodeId }

/** Every known node of a target, under who runs it. */
export interface RunPlan {
  /** Nodes whose agents this relay starts, in the order of the target. */
  readonly own: ReadonlyArray<Node>
  /** By the sub-relay that is asked: the nodes behind it, however far. */
  readonly behind: ReadonlyMap<Node, ReadonlyArray<NodeId>>
  /** All of these, in the order of the target. */
  readonly known: ReadonlyArray<NodeId>
  /** Who runs each of `known`, at the same place: the node itself, or the sub-relay that it is behind. */
  readonly runners: ReadonlyArray<Node>
  /** Ids of the target that are no node below this relay. */
  readonly unknown: ReadonlyArray<NodeId>
}

/** How many nodes are handled between two pauses. */
const nodesBetweenPauses = 1000

const idsOf = (nodes: Nodes, target: RunTarget): Iterable<NodeId> => {
  switch (target._tag) {
    case "All":
      return nodes.ids()
    case "Nodes":
      return target.ids
    case "One":
      return [target.id]
  }
}

const append = (behind: Map<Node, Array<NodeId>>, relay: Node, id: NodeId): void => {
  const others = behind.get(relay)
  if (others === undefined) behind.set(relay, [id])
  else others.push(id)
}

/** The plan by one version of the nodes list. A long list is gone through with pauses, so that other work is not held up. */
export const make = (nodes: Nodes, target: RunTarget): Effect.Effect<RunPlan> =>
  Effect.gen(function* () {
    const own: Array<Node> = []
    const behind = new Map<Node, Array<NodeId>>()
    const known: Array<NodeId> = []
    const runners: Array<Node> = []
    const unknown: Array<NodeId> = []
    let count = 0
    for (const id of idsOf(nodes, target)) {
      const node = Option.getOrUndefined(nodes.get(id))
      const route = nodes.route(id)
      const hop = route._tag === "Behind" ? Option.getOrUndefined(nodes.get(route.relays[0])) : undefined
      if (node !== undefined && route._tag === "Mine") {
        known.push(id)
        runners.push(node)
        own.push(node)
      } else if (node !== undefined && hop !== undefined) {
        known.push(id)
        runners.push(hop)
        append(behind, hop, id)
      } else unknown.push(id)
      if (++count % nodesBetweenPauses === 0) yield* EventLoop.turn
    }
    // Nobody asked for a node by its id, where the target is all of them.
    return { own, behind, known, runners, unknown: target._tag === "All" ? [] : unknown }
  })

/** A plan's part, under who runs it. */
export type RunPart = Pick<RunPlan, "own" | "behind">

/** What of a plan is from the place `from` to before `to` of its order. */
export const part = (plan: RunPlan, from: number, to: number): Effect.Effect<RunPart> => {
  const { known, runners } = plan
  if (from === 0 && to >= known.length) return Effect.succeed(plan)
  return Effect.gen(function* () {
    const own: Array<Node> = []
    const behind = new Map<Node, Array<NodeId>>()
    for (let place = from; place < to; place++) {
      const id = known[place]
      const runner = runners[place]
      if (id !== undefined && runner !== undefined) {
        if (runner.id === id) own.push(runner)
        else append(behind, runner, id)
      }
      if ((place + 1 - from) % nodesBetweenPauses === 0) yield* EventLoop.turn
    }
    return { own, behind }
  })
}
