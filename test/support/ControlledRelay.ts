/** A relay whose agents and sub-relays follow a script under the test's clock, and what its runs did, with their times. */
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Clock, Effect, Either, Layer, Option, Stream } from "effect"
import type { DurationInput } from "effect/Duration"
import * as Duration from "effect/Duration"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import * as NodeDisk from "../../src/disk/NodeDisk.ts"
import { NodeId } from "../../src/NodeId.ts"
import { AgentProcess, type AgentProcessService } from "../../src/remote-run/agents/AgentProcess.ts"
import * as FolderHistory from "../../src/remote-run/journal/FolderHistory.ts"
import type { RunHistory } from "../../src/remote-run/journal/RunHistory.ts"
import { RemoteRun, type Run, type RunOrder } from "../../src/remote-run/RemoteRun.ts"
import type { RunControl } from "../../src/remote-run/RunControl.ts"
import * as RunParameters from "../../src/remote-run/RunParameters.ts"
import { SubRelays, type SubRelaysService } from "../../src/remote-run/sub-relays/SubRelays.ts"
import { alone } from "../../src/testing/Leases.ts"
import { nodesListLayer, type Tree } from "../../src/testing/Topology.ts"
import { holds } from "./Until.ts"

/** What a node does: how long it takes, and with which code it ends; `hang`: never by itself. */
export interface ControlledNode {
  readonly lasts?: DurationInput | "hang"
  readonly code?: number
}

export interface ControlledSetting {
  readonly tree: Tree
  /** By id, which is the host name too. */
  readonly nodes?: (id: string) => ControlledNode
  readonly maxConcurrent?: number
  readonly timeout?: DurationInput
}

/** What the agents and sub-relays saw. Times of the test's clock, in milliseconds. */
export interface Seen {
  readonly started: Map<string, number>
  readonly ended: Map<string, number>
  /** Each call of a sub-relay: its id, and its nodes. */
  readonly calls: Array<{
    readonly relay: string
    readonly nodes: ReadonlyArray<string>
    readonly at: number
  }>
  readonly running: Set<string>
  /** The most that ran at once, own nodes and others. */
  most: number
}

const makeSeen = (): Seen => ({
  started: new Map(),
  ended: new Map(),
  calls: [],
  running: new Set(),
  most: 0
})

const live = (seen: Seen, id: string, { lasts = 0, code = 0 }: ControlledNode) =>
  Effect.acquireUseRelease(
    Effect.map(Clock.currentTimeMillis, (now) => {
      seen.started.set(id, now)
      seen.running.add(id)
      seen.most = Math.max(seen.most, seen.running.size)
    }),
    () => Effect.as(lasts === "hang" ? Effect.never : Effect.sleep(lasts), { code, signal: null }),
    () =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        seen.running.delete(id)
        seen.ended.set(id, now)
      })
  )

/** Its runs are kept in a folder of their own. */
export const controlledRelay = (setting: ControlledSetting) => {
  const { tree, nodes = () => ({}), maxConcurrent = 50, timeout = "1 hours" } = setting
  const seen = makeSeen()
  const agent: AgentProcessService["run"] = ({ hostname }) => live(seen, hostname, nodes(hostname))
  const subRelay: SubRelaysService["run"] = ({ relay, nodes: behind, report }) =>
    Effect.gen(function* () {
      seen.calls.push({ relay: relay.id, nodes: behind, at: yield* Clock.currentTimeMillis })
      yield* Effect.forEach(
        behind,
        (id) =>
          Effect.gen(function* () {
            report(id).start(id)
            const { code } = yield* live(seen, id, nodes(id))
            report(id).end({ code })
          }),
        { concurrency: "unbounded", discard: true }
      )
    })
  const layer: Layer.Layer<RemoteRun | RunHistory | FileSystem.FileSystem> = Layer.unwrapScoped(
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped({ prefix: "rudder-relay-runs-" })
      const settings = makeSettings({
        general: { nodeId: NodeId.make("me") },
        remoteRun: { directory, maxConcurrent, timeout: Duration.decode(timeout) }
      })
      return RemoteRun.layer.pipe(
        Layer.provideMerge(FolderHistory.layer),
        Layer.provide([
          Layer.succeed(RelayConfig, settings),
          NodeDisk.layer,
          alone(),
          nodesListLayer(tree),
          Layer.succeed(AgentProcess, { run: agent, unkillable: Effect.succeed(0) }),
          Layer.succeed(SubRelays, { run: subRelay })
        ])
      )
    })
  ).pipe(Layer.provideMerge(NodeContext.layer), Layer.orDie)
  return { seen, layer }
}

/** Of this relay itself. */
export const ownTree = (...ids: ReadonlyArray<string>): Tree =>
  Object.fromEntries(ids.map((hostname) => [hostname, { hostname }]))

/** Names with numbers, from 0 on. */
export const numbered = (count: number, prefix = "n"): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => `${prefix}${i}`)

/** What the parameters of a request ask for. */
export const controlOf = (query: string): RunControl => {
  const route = { method: "GET", versioned: false, old: true, accept: undefined }
  const { control } = Either.getOrThrowWith(
    RunParameters.decode(route, new URLSearchParams(query), []),
    (error) => new Error(error.message)
  )
  return control
}

/** An order for these nodes, or all, under what a query asks for. */
export const orderOf = (query: string, ids?: ReadonlyArray<string>): RunOrder => ({
  target: ids === undefined ? { _tag: "All" } : { _tag: "Nodes", ids: ids.map((id) => NodeId.make(id)) },
  classes: [],
  output: "discard",
  control: controlOf(query)
})

/** Time for files to be written, and for fibers to come to rest. */
export const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** Succeeds when a run is over; the test's clock stands still meanwhile. */
export const over = (run: Run) =>
  Effect.gen(function* () {
    yield* holds("the run is over", Effect.map(run.doneAt, Option.isSome))
  })

export type SaidEvent = Readonly<Record<string, unknown>>

/** All that a run has said, without pings, once it is over. */
export const said = (run: Run) =>
  run.read({ format: "ndjson", order: "live", after: 0 }).pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.map((line): SaidEvent => JSON.parse(line)),
    Stream.filter(({ event }) => event !== "ping"),
    Stream.runCollect,
    Effect.map((events) => [...events])
  )
