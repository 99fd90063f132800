/** A relay above a scripted one, with the real client between them. */
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Duration, Effect, Layer, Stream } from "effect"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import * as NodeDisk from "../../src/disk/NodeDisk.ts"
import { NodeId } from "../../src/NodeId.ts"
import type { PeerClient } from "../../src/peers/PeerClient.ts"
import * as PeerConnections from "../../src/peers/PeerConnections.ts"
import { AgentProcess, type AgentProcessService } from "../../src/remote-run/agents/AgentProcess.ts"
import * as FolderHistory from "../../src/remote-run/journal/FolderHistory.ts"
import type { RunFormat } from "../../src/remote-run/journal/RunFormat.ts"
import { RemoteRun, type RunOrder } from "../../src/remote-run/RemoteRun.ts"
import * as SubRelayCalls from "../../src/remote-run/sub-relays/SubRelayCalls.ts"
import { alone } from "../../src/testing/Leases.ts"
import * as ScriptedSubRelay from "../../src/testing/ScriptedSubRelay.ts"
import type { selfSigned } from "../../src/testing/SelfSigned.ts"
import { nodesListLayer, type Tree } from "../../src/testing/Topology.ts"

interface Setting {
  readonly port: number
  readonly tree: Tree
  readonly agent?: AgentProcessService["run"]
  readonly pinned?: ReturnType<typeof selfSigned>
  readonly peerClient?: Layer.Layer<PeerClient, never, RelayConfig | FileSystem.FileSystem>
  /** For how long a cut stream is tried to be taken up again. */
  readonly reconnect?: Duration.DurationInput
}

/** A relay above a scripted one: the real client, over TLS with pinned certificates. */
export const relayAbove = ({
  port,
  tree,
  agent,
  pinned = ScriptedSubRelay.certificate,
  peerClient,
  reconnect
}: Setting) =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped({ prefix: "rudder-relay-runs-" })
      const settings = makeSettings({
        general: { nodeId: NodeId.make("me"), httpsPort: port },
        remoteRun: {
          directory,
          ...(reconnect === undefined ? {} : { reconnect: Duration.decode(reconnect) })
        }
      })
      return RemoteRun.layer.pipe(
        Layer.provide(SubRelayCalls.layer),
        Layer.provideMerge(FolderHistory.layer),
        Layer.provide([
          alone(),
          NodeDisk.layer,
          peerClient ?? PeerConnections.layer,
          nodesListLayer(tree),
          ScriptedSubRelay.certificates(pinned.x509),
          Layer.succeed(AgentProcess, {
            run: agent ?? (() => Effect.succeed({ code: 0, signal: null })),
            unkillable: Effect.succeed(0)
          })
        ]),
        Layer.provide(Layer.succeed(RelayConfig, settings))
      )
    })
  ).pipe(Layer.provide(NodeContext.layer), Layer.orDie)

/** Nodes behind the sub-relay. */
export const behind = (...ids: ReadonlyArray<string>): Tree => ({
  relay: { hostname: "127.0.0.1" },
  ...Object.fromEntries(ids.map((id) => [id, { hostname: `${id}.example.com`, relays: ["relay"] }]))
})

export const order = (ids: ReadonlyArray<string>, over: Partial<RunOrder> = {}): RunOrder => ({
  target: { _tag: "Nodes", ids: ids.map((id) => NodeId.make(id)) },
  classes: [],
  output: "keep",
  ...over
})

export const bytesOf = (
  run: {
    readonly read: (options: {
      format: RunFormat
      order: "live" | "blocks"
      after: number
    }) => Stream.Stream<Uint8Array, unknown>
  },
  format: RunFormat,
  inOrder: "live" | "blocks" = "live"
) =>
  run.read({ format, order: inOrder, after: 0 }).pipe(
    Stream.runCollect,
    Effect.map((chunks) => Buffer.concat([...chunks]))
  )

export const parse = (ndjson: Buffer): ReadonlyArray<ScriptedSubRelay.Event> =>
  ndjson
    .toString("utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line): ScriptedSubRelay.Event => JSON.parse(line))

/** Runs the nodes, and gives what the run said in the end. */
export const running = (ids: ReadonlyArray<string>, over: Partial<RunOrder> = {}) =>
  Effect.gen(function* () {
    const remoteRun = yield* RemoteRun
    const run = yield* remoteRun.start(order(ids, over))
    return parse(yield* bytesOf(run, "ndjson"))
  })

export const endsOf = (events: ReadonlyArray<ScriptedSubRelay.Event>) =>
  events.filter(({ event }) => event === "end")
export const endOf = (events: ReadonlyArray<ScriptedSubRelay.Event>, node: string) =>
  endsOf(events).find((event) => event.node === node)

export const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
