/** The nodes below this relay, a page at a time, by their ids. */
import { Effect, Option } from "effect"
import * as EventLoop from "../EventLoop.ts"
import * as Glob from "../Glob.ts"
import type { NodeId } from "../NodeId.ts"
import * as Smallest from "../Smallest.ts"
import * as KeyHash from "./KeyHash.ts"
import type { Nodes } from "./NodesList.ts"

/** A node as it is shown. */
export interface ShownNode {
  readonly node: NodeId
  readonly hostname: string
  /** The relays between this one and the node, the next hop first. */
  readonly via: ReadonlyArray<NodeId>
  /** Whether the list has a key hash for it that can be read. */
  readonly key: boolean
}

/** A part of the list. */
export interface NodePage {
  readonly nodes: ReadonlyArray<ShownNode>
  /** The last one's id, where there are more. */
  readonly next: Option.Option<NodeId>
}

/** Which nodes. */
export interface NodeSelection {
  /** At most so many. */
  readonly limit: number
  /** An id: only those whose ids come behind it. */
  readonly after: Option.Option<string>
  /** A pattern of `Glob`, of the id or of the host name; letters' case does not count. */
  readonly match: Option.Option<string>
}

const nodesPerTurn = 5000

const isWanted = (match: Option.Option<string>) => {
  if (Option.isNone(match)) return () => true
  const pattern = match.value.toLowerCase()
  return (id: string, hostname: string) =>
    Glob.matches(pattern, id.toLowerCase()) || Glob.matches(pattern, hostname.toLowerCase())
}

const show = (nodes: Nodes, id: string): ReadonlyArray<ShownNode> => {
  const route = nodes.route(id)
  return Option.toArray(nodes.get(id)).map((node) => ({
    node: node.id,
    hostname: node.hostname,
    via: route._tag === "Behind" ? route.relays : [],
    key: Option.isSome(Option.flatMap(node.keyHash, KeyHash.parse))
  }))
}

/** A page of one version of the list. Nodes to which no way leads are treated as unknown, here as elsewhere. */
export const make = (nodes: Nodes, { limit, after, match }: NodeSelection): Effect.Effect<NodePage> =>
  Effect.gen(function* () {
    const wanted = isWanted(match)
    const first = Smallest.make(limit + 1)
    const behind = Option.getOrElse(after, () => "")
    let count = 0
    for (const id of nodes.ids()) {
      if (++count % nodesPerTurn === 0) yield* EventLoop.turn
      if (id <= behind || !first.mayBe(id)) continue
      const hostname = Option.match(nodes.get(id), { onNone: () => "", onSome: (node) => node.hostname })
      if (wanted(id, hostname) && nodes.route(id)._tag !== "Unknown") first.add(id)
    }
    const found = first.sorted()
    const shown = found.slice(0, limit).flatMap((id) => show(nodes, id))
    const last = shown.at(-1)
    return {
      nodes: shown,
      next: found.length > limit && last !== undefined ? Option.some(last.node) : Option.none()
    }
  })
