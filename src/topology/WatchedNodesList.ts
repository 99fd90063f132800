/** The nodes list of the file that the server's policy generation writes, followed as it is replaced. */
import { Clock, Effect, Layer, Option } from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import * as EventLoop from "../EventLoop.ts"
import type { NodeId } from "../NodeId.ts"
import * as Permits from "../Permits.ts"
import type { Node } from "./Node.ts"
import { type Nodes, NodesList, type NodesListFreshness, type NodesListStatus } from "./NodesList.ts"
import { type ParsedNodesList, parse } from "./NodesListFile.ts"
import { routeTo } from "./Route.ts"
import * as WatchedFile from "./WatchedFile.ts"

const nodesPerTurn = 5000
const maxExamples = 5

/** Nodes as a value. `mine` has to be counted by the caller, who may do so in pieces. */
const nodesOf = (me: NodeId, entries: ReadonlyMap<string, Node>, mine: number): Nodes => {
  const policyServerOf = (id: NodeId) => entries.get(id)?.policyServer
  return {
    size: entries.size,
    get: (id) => Option.fromNullable(entries.get(id)),
    route: (id) => {
      const node = entries.get(id)
      return node === undefined ? { _tag: "Unknown" } : routeTo(me, node.id, policyServerOf)
    },
    *ids() {
      for (const node of entries.values()) yield node.id
    },
    mine
  }
}

/** Counts what the relay wants to know of a list as a whole, in pieces. */
const survey = (me: NodeId, entries: ReadonlyMap<string, Node>) =>
  Effect.gen(function* () {
    const nodes = nodesOf(me, entries, 0)
    const unroutable: Array<NodeId> = []
    let mine = 0
    let lost = 0
    let count = 0
    for (const id of nodes.ids()) {
      const route = nodes.route(id)
      if (route._tag === "Mine") mine++
      if (route._tag === "Unknown" && id !== me && ++lost <= maxExamples) unroutable.push(id)
      if (++count % nodesPerTurn === 0) yield* EventLoop.turn
    }
    return { mine, lost, unroutable }
  })

const logSurvey = ({ bad }: ParsedNodesList, lost: number, unroutable: ReadonlyArray<NodeId>) =>
  Effect.gen(function* () {
    if (bad.count > 0)
      yield* Effect.logWarning(
        "entries of the nodes list were left out: no usable id, hostname or policy-server"
      ).pipe(Effect.annotateLogs({ count: bad.count, examples: bad.examples.join(" ") }))
    if (lost > 0)
      yield* Effect.logWarning(
        "nodes whose policy servers do not lead to this relay are treated as unknown"
      ).pipe(Effect.annotateLogs({ count: lost, examples: unroutable.join(" ") }))
  })

interface Loaded {
  readonly nodes: Nodes
  readonly status: NodesListStatus
  readonly neverLoaded: boolean
  readonly freshness: Option.Option<NodesListFreshness>
}

/** What `layer` has. */
export const make = Effect.gen(function* () {
  const { general } = yield* RelayConfig
  const file = general.nodesListFile
  const watched = yield* WatchedFile.make(file)
  // Asked with each request, so it is a plain variable.
  let loaded: Loaded = {
    nodes: nodesOf(general.nodeId, new Map(), 0),
    status: { _tag: "Success" },
    neverLoaded: true,
    freshness: Option.none()
  }
  const reloading = Permits.make(1)

  const load = Effect.gen(function* () {
    const { bytes, written } = yield* watched.read
    const parsed = yield* parse(bytes)
    const { mine, lost, unroutable } = yield* survey(general.nodeId, parsed.nodes)
    yield* logSurvey(parsed, lost, unroutable)
    const now = yield* Clock.currentTimeMillis
    loaded = {
      nodes: nodesOf(general.nodeId, parsed.nodes, mine),
      status: { _tag: "Success" },
      neverLoaded: false,
      freshness: Option.some({ loaded: now, written })
    }
    yield* Effect.logInfo("nodes list loaded").pipe(
      Effect.annotateLogs({ file, nodes: parsed.nodes.size, mine })
    )
  })

  const keepPrevious = (problem: { readonly message: string }) =>
    Effect.gen(function* () {
      const { neverLoaded, status } = loaded
      const instead = neverLoaded ? "no nodes are known" : "the previous list stays in force"
      const details = `${file}: ${problem.message}; ${instead}`
      loaded = { ...loaded, status: { _tag: "Error", details } }
      // It is tried again and again, and told once.
      if (status._tag === "Error" && status.details === details) return
      yield* Effect.logWarning("the nodes list can't be loaded").pipe(Effect.annotateLogs({ details }))
    })

  const reload = load.pipe(
    Effect.catchAll(keepPrevious),
    Effect.andThen(Effect.sync(() => loaded.status)),
    reloading,
    Effect.withSpan("NodesList.reload")
  )

  yield* reload
  yield* watched.follow(reload)

  return NodesList.of({
    current: Effect.sync(() => loaded.nodes),
    now: () => loaded.nodes,
    status: Effect.sync(() => loaded.status),
    freshness: Effect.sync(() => loaded.freshness),
    neverLoaded: Effect.sync(() => loaded.neverLoaded),
    reload
  })
})

/** `general.nodes_list_file`, looked at twice a second. */
export const layer = Layer.scoped(NodesList, make)
