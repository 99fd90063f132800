/** A nodes list for tests, as a value. */
import { Effect, Layer, Option } from "effect"
import { NodeId } from "../../src/NodeId.ts"
import type { Node } from "../../src/topology/Node.ts"
import { type Nodes, NodesList } from "../../src/topology/NodesList.ts"
import type { Route } from "../../src/topology/Route.ts"

/** Nodes by id: their hostname, the relays between this relay and them (none: mine), and the hash of their key. */
export type Tree = Record<
  string,
  { readonly hostname: string; readonly relays?: ReadonlyArray<string>; readonly keyHash?: string }
>

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

export const nodesListLayer = (tree: Tree, options: { readonly neverLoaded?: boolean } = {}) =>
  Layer.succeed(NodesList, {
    current: Effect.succeed(nodesOf(tree)),
    status: Effect.succeed({ _tag: "Success" } as const),
    neverLoaded: Effect.succeed(options.neverLoaded ?? false),
    reload: Effect.succeed({ _tag: "Success" } as const)
  })
