/** Runs on nodes behind a sub-relay, handed to that sub-relay in one call. */
import { Context, Effect, Layer } from "effect"
import type { Node } from "../../topology/Node.ts"
import type { AgentOutput } from "../agents/AgentProcess.ts"
import type { NodeEnding } from "../RunEvent.ts"
import type { RunCaller } from "../RunRecord.ts"

/** What a sub-relay reports of one node; `start` and `end` count once. */
export interface SubRelayNode extends AgentOutput {
  readonly start: (hostname: string) => void
  readonly end: (ending: NodeEnding) => void
}

/** What an older relay prints, which does not say which node printed it: lines of the sub-relay itself. */
export interface SubRelayOutput extends AgentOutput {
  /** No more will come. */
  readonly over: () => void
}

/** Nodes behind one sub-relay, and where what becomes of them is reported. */
export interface SubRelayOrder {
  readonly relay: Node
  readonly nodes: ReadonlyArray<string>
  readonly classes: ReadonlyArray<string>
  /** Who asks and why, in the caller's words: the sub-relay is told. */
  readonly by?: Pick<RunCaller, "actor" | "reason">
  readonly report: (node: string) => SubRelayNode
  /** Lines of the sub-relay itself: asked for once a call. */
  readonly output: () => SubRelayOutput
}

/** Runs nodes that are behind sub-relays. */
export interface SubRelaysService {
  /**
   * Runs the agents of `nodes`, all behind `relay`, and reports each. Never fails: what goes wrong is reported as the
   * end of the nodes that it concerns. Interruption cancels the run on the sub-relay, and reports no more.
   */
  readonly run: (order: SubRelayOrder) => Effect.Effect<void>
}

/** The port: who calls sub-relays. `SubRelayCalls.layer` is the live one. */
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
