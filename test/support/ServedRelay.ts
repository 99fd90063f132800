/** The whole app over parts of a test, served on a port that the system picks; `HttpClient` sends to it. */
import { HttpServer } from "@effect/platform"
import { NodeContext, NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import * as NodeDisk from "../../src/disk/NodeDisk.ts"
import {
  type AgentCommand,
  Certificates,
  type Disk,
  type GivenSettings,
  makeSettings,
  NodeId,
  type NodesList,
  Relay,
  RelayConfig,
  Reload,
  SubRelays,
  Upstream,
  UpstreamUnreachable
} from "../../src/index.ts"
import { type AgentScript, layer as scriptedAgents } from "../../src/testing/ScriptedAgents.ts"

const nobodyAbove = Layer.succeed(Upstream, {
  put: () => new UpstreamUnreachable({ message: "there is none" }),
  has: () => new UpstreamUnreachable({ message: "there is none" })
})

/** A root server whose files are below this folder, with these nodes and settings, and agents by script, else well at once. */
export const servedRelay = (
  directory: string,
  nodesList: Layer.Layer<NodesList>,
  settings: GivenSettings = {},
  script: (command: AgentCommand) => AgentScript = () => ({}),
  disk: Layer.Layer<Disk> = NodeDisk.layer
) => {
  const config = makeSettings({
    general: { nodeId: NodeId.make("root") },
    ...settings,
    remoteRun: { ...settings.remoteRun, directory: `${directory}/runs` },
    sharedFiles: { ...settings.sharedFiles, path: `${directory}/shared-files`, outbox: `${directory}/outbox` }
  })
  const parts = Layer.mergeAll(Relay.services, Reload.layer([])).pipe(
    Layer.provideMerge(
      Relay.liveWith(
        Layer.mergeAll(
          scriptedAgents(script),
          SubRelays.unreachable,
          Certificates.none,
          nobodyAbove,
          nodesList,
          disk
        )
      )
    ),
    Layer.provideMerge(Layer.succeed(RelayConfig, config)),
    Layer.provideMerge(NodeContext.layer)
  )
  return Layer.unwrapEffect(Effect.map(Relay.httpApp, (app) => HttpServer.serve(app))).pipe(
    Layer.provideMerge(parts),
    Layer.provideMerge(NodeHttpServer.layerTest)
  )
}
