/** Where a node stands in the tree, seen from this relay. */
import type { NodeId } from "../NodeId.ts"

/**
 * - `Mine`: this relay is the node's policy server.
 * - `Behind`: reached through `relays`, from the next hop down to the node's own policy server; never empty.
 * - `Unknown`: not in the list, or its chain of policy servers leaves the list, loops, or exceeds 20 hops.
 */
export type Route =
  | { readonly _tag: "Mine" }
  | { readonly _tag: "Behind"; readonly relays: readonly [NodeId, ...Array<NodeId>] }
  | { readonly _tag: "Unknown" }

/** Most nodes' route. */
const mine: Route = { _tag: "Mine" }

/** A route over more relays than this means that something is wrong with the list. */
const maxHops = 20

/**
 * The route from `me` to a node, by following policy servers up from the node.
 *
 * @param policyServerOf the policy server of a node of the list; undefined for other ids
 */
export const routeTo = (
  me: NodeId,
  id: NodeId,
  policyServerOf: (id: NodeId) => NodeId | undefined
): Route => {
  let server = policyServerOf(id)
  if (server === me) return mine
  const relays: Array<NodeId> = []
  while (server !== undefined && server !== me && relays.length < maxHops) {
    relays.unshift(server)
    server = policyServerOf(server)
  }
  if (server !== me) return { _tag: "Unknown" }
  const [first, ...rest] = relays
  return first === undefined ? mine : { _tag: "Behind", relays: [first, ...rest] }
}
