/** Which nodes an order is for, by the nodes list as it is now. */
import { Effect } from "effect"
import { type NodeId, root } from "../NodeId.ts"
import { TooBusy, UnknownTarget } from "../RelayError.ts"
import type { Nodes, NodesListService } from "../topology/NodesList.ts"
import * as RunPlan from "./RunPlan.ts"

/** What the answer depends on. */
interface Below {
  /** This relay's own id. */
  readonly nodeId: NodeId
  readonly nodesList: NodesListService
}

/** The plan of a target; `UnknownTarget` where that is one node, which is not there. `TooBusy`: nobody knows yet. */
export const plan = (
  below: Below,
  nodes: Nodes,
  target: RunPlan.RunTarget
): Effect.Effect<RunPlan.RunPlan, UnknownTarget | TooBusy> =>
  Effect.gen(function* () {
    const plan = yield* RunPlan.make(nodes, target)
    if (target._tag === "One" && plan.unknown.length > 0) return yield* refuseUnknown(below, target.id)
    return plan
  })

/** Root without a list can't know: it says "later" where it would say "unknown". */
const refuseUnknown = ({ nodeId, nodesList }: Below, target: NodeId) =>
  Effect.gen(function* () {
    if (nodeId === root && (yield* nodesList.neverLoaded))
      return yield* new TooBusy({ message: "the nodes list was not loaded yet", retryAfterSeconds: 10 })
    return yield* new UnknownTarget({ message: `no node ${target} below this relay`, target })
  })
