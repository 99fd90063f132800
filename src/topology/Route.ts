/** Where a node stands in the tree, seen from this relay. */
import type { NodeId } from "./NodeId.ts"

/**
 * - `Mine`: this relay is the node's policy server.
 * - `Behind`: reached through `relays`, from the next hop down to the node's own policy server; never empty.
 * - `Unknown`: not in the list, or its chain of policy servers leaves the list, loops, or exceeds 20 hops.
 */
export type Route =
  | { readonly _tag: "Mine" }
  | { readonly _tag: "Behind"; readonly relays: readonly [NodeId, ...Array<NodeId>] }
  | { readonly _tag: "Unknown" }
