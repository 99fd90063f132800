/** A nodes list as a value: no file, nothing to wait for. */
import { Effect, Layer, Option } from "effect"
import { NodeId } from "../NodeId.ts"
import type { Node } from "../topology/Node.ts"
import { type Nodes, NodesList } from "../topology/NodesList.ts"
import type { Route } from "../topology/Route.ts"

/** Nodes by id: their hostname, the relays between this relay and them (none: mine), and the hash of their key. */
export type Tree = Record<
  string,
  { readonly hostname: string; readonly relays?: ReadonlyArray<string>; readonly keyHash?: string }
>

/** One version of a nodes list. */
export const nodesOf = (tree: Tree): Nodes => {
  const route = (id: string): Route => {
    const entry = Object.hasOwn(tree, id) ? tree[id] : undefined
    if (entry === undefined) return { _tag: "Unknown" }
    const [first, ...rest] = (entry.relays ?? []).map((relay) => NodeId.make(relay))
    return first === undefined ? { _tag: "Mine" } : { _tag: "Behind", relays: [first, ...rest] }
  }
  const nodes = new Map(
    Object.entries(tree).map(([id, { hostname, relays, keyHash }]): [string, Node] => [
      id,
      {
        id: NodeId.make(id),
        hostname,
        policyServer: NodeId.make(relays?.at(-1) ?? "me"),
        keyHash: Option.fromNullable(keyHash)
      }
    ])
  )
  return {
    size: Object.keys(tree).length,
    get: (id) => Option.fromNullable(nodes.get(id)),
    route,
    ids: () => Object.keys(tree).map((id) => NodeId.make(id)),
    mine: Object.keys(tree).filter((id) => route(id)._tag === "Mine").length
  }
}

/** A nodes list that a test changes while the relay runs. */
export interface Topology {
  tree: Tree
  /** The relay has not seen a list yet: root answers 503 where it would answer 404. */
  neverLoaded: boolean
}

/**
 * `NodesList` as what the value says now.
 *
 * @example
 * const topology = { tree: { web: { hostname: "web.example.com" } }, neverLoaded: false }
 * const list = nodesListOf(topology)
 * topology.tree = {} // the list was replaced: the relay has no nodes any more
 */
export const nodesListOf = (topology: Topology): Layer.Layer<NodesList> =>
  Layer.succeed(NodesList, {
    current: Effect.sync(() => nodesOf(topology.tree)),
    now: () => nodesOf(topology.tree),
    status: Effect.succeed({ _tag: "Success" } as const),
    neverLoaded: Effect.sync(() => topology.neverLoaded),
    reload: Effect.succeed({ _tag: "Success" } as const)
  })

/**
 * `NodesList` as a value that stays.
 *
 * @example
 * // `web` is this relay's own, `db` is behind the sub-relay `west`.
 * const list = nodesListLayer({
 *   web: { hostname: "web.example.com" },
 *   west: { hostname: "west.example.com" },
 *   db: { hostname: "db.example.com", relays: ["west"] }
 * })
 */
export const nodesListLayer = (
  tree: Tree,
  options: { readonly neverLoaded?: boolean } = {}
): Layer.Layer<NodesList> => nodesListOf({ tree, neverLoaded: options.neverLoaded ?? false })
