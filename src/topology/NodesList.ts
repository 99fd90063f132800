/** The nodes below this relay: who they are, how they are reached, and which key they sign with. */
import { Context, type Effect, type Option } from "effect"
import type { NodeId } from "./NodeId.ts"
import type { Route } from "./Route.ts"

/** A node's entry in the list. */
export interface Node {
  readonly id: NodeId
  /** As the list has it: ends up on a command line or in a URL only after `isHostname`. */
  readonly hostname: string
  readonly policyServer: NodeId
  /** As the list has it (`sha256:HEX`, `sha256//BASE64`, likewise sha512); none when absent or empty. */
  readonly keyHash: Option.Option<string>
}

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

export interface NodesListService {
  readonly current: Effect.Effect<Nodes>
  readonly status: Effect.Effect<NodesListStatus>
  /** True until a list has been loaded for the first time (root answers 503 then where it would answer 404). */
  readonly neverLoaded: Effect.Effect<boolean>
  /** Reads the file again now; the previous list stays in force when it does not parse. */
  readonly reload: Effect.Effect<NodesListStatus>
}

export class NodesList extends Context.Tag("rudder-relay/NodesList")<NodesList, NodesListService>() {}
