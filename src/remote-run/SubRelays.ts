/** Runs on nodes behind a sub-relay, handed to that sub-relay in one call. */
import { Context, Effect, Layer } from "effect"
import type { Node } from "../topology/NodesList.ts"
import type { AgentOutput } from "./AgentProcess.ts"
import type { NodeEnding } from "./NodeLog.ts"

/** What a sub-relay reports of one node; `end` counts once. */
export interface SubRelayNode extends AgentOutput {
  readonly start: (hostname: string) => void
  readonly end: (ending: NodeEnding) => void
}

export interface SubRelaysService {
  /**
   * Runs the agents of `nodes`, all behind `relay`, and reports each to `report`. Never fails: what goes wrong is
   * reported as the end of the nodes that it concerns. Interruption cancels the run on the sub-relay.
   */
  readonly run: (options: {
    readonly relay: Node
    readonly nodes: ReadonlyArray<string>
    readonly classes: ReadonlyArray<string>
    readonly report: (node: string) => SubRelayNode
  }) => Effect.Effect<void>
}

export class SubRelays extends Context.Tag("rudder-relay/SubRelays")<SubRelays, SubRelaysService>() {
  /** Reaches none: every node behind a sub-relay ends with `UpstreamFatal`. */
  static readonly unreachable = Layer.succeed(SubRelays, {
    run: ({ relay, nodes, report }) =>
      Effect.sync(() => {
        for (const node of nodes)
          report(node).end({
            code: null,
            error: { _tag: "UpstreamFatal", message: `sub-relay ${relay.id} can't be called by this version` }
          })
      })
  })
}
