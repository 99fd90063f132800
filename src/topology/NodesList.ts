/** The nodes below this relay: who they are, how they are reached, and which key they sign with. */
import { Context, type Effect, type Option } from "effect"
import type { NodeId } from "../NodeId.ts"
import type { Node } from "./Node.ts"
import type { Route } from "./Route.ts"

/** One version of the list. Every look-up is O(1) (a route costs its length). */
export interface Nodes {
  readonly size: number
  readonly get: (id: string) => Option.Option<Node>
  readonly route: (id: string) => Route
  /** In the order of the file. */
  readonly ids: () => Iterable<NodeId>
  /** How many nodes have this relay as their policy server; the others are behind sub-relays. */
  readonly mine: number
}

/** What became of the last attempt to read the file. `details` says what is wrong, and what is in force instead. */
export type NodesListStatus =
  | { readonly _tag: "Success" }
  | { readonly _tag: "Error"; readonly details: string }

/** How old the list in force is. Milliseconds since 1970. */
export interface NodesListFreshness {
  /** When the relay loaded it. */
  readonly loaded: number
  /** When its file was written; none where the file does not say. */
  readonly written: Option.Option<number>
}

/** Knows the nodes below this relay. */
export interface NodesListService {
  readonly current: Effect.Effect<Nodes>
  /** The same by a plain call, for what is answered at once; absent: it takes an effect. */
  readonly now?: () => Nodes
  readonly status: Effect.Effect<NodesListStatus>
  /** True until a list has been loaded for the first time (root answers 503 then where it would answer 404). */
  readonly neverLoaded: Effect.Effect<boolean>
  /** When the list in force came; absent or none: that is not known, or there is none yet. */
  readonly freshness?: Effect.Effect<Option.Option<NodesListFreshness>>
  /** Reads the file again now; the previous list stays in force when it does not parse. */
  readonly reload: Effect.Effect<NodesListStatus>
}

/** The nodes list; `WatchedNodesList.layer` has it from a file. */
export class NodesList extends Context.Tag("rudder-relay/NodesList")<NodesList, NodesListService>() {}
