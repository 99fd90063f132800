/** A whole relay for a test: served on a port that the system picks, in a folder that goes with it, with its client. */
import { createServer } from "node:http"
import { FileSystem, HttpServer } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer } from "effect"
import * as ClientConnection from "../client/ClientConnection.ts"
import { RelayClient } from "../client/RelayClient.ts"
import { type GivenSettings, makeSettings } from "../config/GivenSettings.ts"
import { RelayConfig } from "../config/RelayConfig.ts"
import { base } from "../http/BasePath.ts"
import { NodeId } from "../NodeId.ts"
import * as Relay from "../Relay.ts"
import { SubRelays } from "../remote-run/sub-relays/SubRelays.ts"
import { Reload } from "../system/Reload.ts"
import { Certificates } from "../topology/Certificates.ts"
import { alone } from "./Leases.ts"
import * as ScriptedAgents from "./ScriptedAgents.ts"
import { ScriptedUpstream } from "./ScriptedUpstream.ts"
import { nodesListLayer } from "./Topology.ts"

/** What there is where a test names nothing else: agents that do nothing and succeed, no node, nobody above or below. */
const nothing = () =>
  Layer.mergeAll(
    ScriptedAgents.layer(() => ({})),
    nodesListLayer({}),
    new ScriptedUpstream().layer,
    SubRelays.unreachable,
    Certificates.none,
    alone()
  )

/** The contract's defaults for a root server, in this folder. */
const settingsIn = (directory: string, settings: GivenSettings) =>
  makeSettings({
    ...settings,
    general: { nodeId: NodeId.make("root"), ...settings.general },
    remoteRun: { directory: `${directory}/runs`, ...settings.remoteRun },
    sharedFiles: {
      path: `${directory}/shared-files`,
      outbox: `${directory}/outbox`,
      minFree: 0,
      ...settings.sharedFiles
    }
  })

const config = (settings: GivenSettings) =>
  Layer.scoped(
    RelayConfig,
    Effect.flatMap(FileSystem.FileSystem, (fs) =>
      Effect.map(fs.makeTempDirectoryScoped({ prefix: "rudder-relay-test-" }), (directory) =>
        settingsIn(directory, settings)
      )
    )
  )

const client = Layer.unwrapEffect(
  Effect.map(HttpServer.HttpServer, ({ address }) =>
    RelayClient.layer({
      url: address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}${base}` : base
    })
  )
).pipe(Layer.provide(ClientConnection.layer()))

/**
 * A relay whose parts are those of `replaced`, and for the rest of the kit's: no process is started, no other relay is
 * called. Its disk is real unless another is given.
 *
 * @example
 * const relay = TestRelay.layer(
 *   Layer.merge(
 *     nodesListLayer({ web: { hostname: "web.example.com" } }),
 *     ScriptedAgents.layer(() => ({ exit: 1 }))
 *   )
 * )
 * const test = Effect.gen(function* () {
 *   const client = yield* RelayClient
 *   const events = yield* Stream.runCollect(client.run({ nodes: "all" }))
 * }).pipe(Effect.provide(relay))
 */
export const layer = <A, E, R>(replaced: Layer.Layer<A, E, R>, settings: GivenSettings = {}) =>
  Layer.merge(
    Layer.fresh(client),
    Layer.unwrapEffect(Effect.map(Relay.httpApp, (app) => HttpServer.serve(app)))
  ).pipe(
    Layer.provideMerge(Layer.mergeAll(Layer.fresh(Relay.services), Reload.layer([]))),
    Layer.provideMerge(Relay.liveWith(Layer.merge(nothing(), replaced))),
    Layer.provideMerge(config(settings)),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
    Layer.provideMerge(NodeContext.layer)
  )
