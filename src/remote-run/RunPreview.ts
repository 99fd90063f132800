/** What a run would do: which nodes, through which relays, in which batch. */
import { Chunk, Effect, Option, Schema, Stream } from "effect"
import * as EventLoop from "../EventLoop.ts"
import type { Nodes } from "../topology/NodesList.ts"
import type { RunPlan } from "./RunPlan.ts"
import * as RunPolicy from "./RunPolicy.ts"

/** A node that would be run. */
export const PreviewedNode = Schema.Struct({
  node: Schema.String,
  hostname: Schema.String,
  /** The relays between this one and the node, the next hop first; none: its agent is started here. */
  via: Schema.Array(Schema.String),
  /** From 1 on. */
  batch: Schema.Int
})
export type PreviewedNode = typeof PreviewedNode.Type

/** The answer to an order with `preview`: the nodes in the order in which they would start, and ids that are no node's. */
export const RunPreview = Schema.Struct({
  nodes: Schema.Array(PreviewedNode),
  unknown: Schema.Array(Schema.String)
})
export type RunPreview = typeof RunPreview.Type

/** How many nodes are handled between two pauses. */
const nodesBetweenPauses = 1000

/** What a plan comes to under a policy, by the version of the nodes list that the plan was made by. */
export const make = (
  nodes: Nodes,
  { known, unknown }: RunPlan,
  policy: RunPolicy.RunPolicy
): Effect.Effect<RunPreview> =>
  Effect.gen(function* () {
    const previewed: Array<PreviewedNode> = []
    for (const [place, node] of known.entries()) {
      const route = nodes.route(node)
      // What is known is in the list.
      const hostname = Option.match(nodes.get(node), { onNone: () => "", onSome: (entry) => entry.hostname })
      const via = route._tag === "Behind" ? route.relays : []
      previewed.push({ node, hostname, via, batch: RunPolicy.batchOf(policy, place) })
      if ((place + 1) % nodesBetweenPauses === 0) yield* EventLoop.turn
    }
    return { nodes: previewed, unknown }
  })

/** As JSON, piece by piece: it is as long as the run would be large. */
export const json = ({ nodes, unknown }: RunPreview): Stream.Stream<Uint8Array> =>
  Stream.succeed('{"nodes":[').pipe(
    Stream.concat(
      Stream.fromIterable(nodes.entries()).pipe(
        Stream.map(([place, node]) => `${place === 0 ? "" : ","}${JSON.stringify(node)}`)
      )
    ),
    Stream.concat(Stream.succeed(`],"unknown":${JSON.stringify(unknown)}}\n`)),
    Stream.rechunk(nodesBetweenPauses),
    Stream.mapChunks((texts) => Chunk.of(Buffer.from(Chunk.join(texts, ""))))
  )
