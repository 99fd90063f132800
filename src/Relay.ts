/**
 * The relay, composed: its services, the one `HttpApp` over them, and the daemon that serves it.
 *
 * A program that embeds a relay takes `services` and `httpApp`, and may provide other Layers for any part.
 */
import { HttpApiBuilder, HttpMiddleware, HttpRouter } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { Access } from "./access/Access.ts"
import { Disk } from "./disk/Disk.ts"
import { Hasher } from "./disk/Hasher.ts"
import { PeerClient } from "./peers/PeerClient.ts"
import { RelayApi } from "./RelayApi.ts"
import { AgentProcess } from "./remote-run/agents/AgentProcess.ts"
import { RunHistory } from "./remote-run/journal/RunHistory.ts"
import { RemoteRun } from "./remote-run/RemoteRun.ts"
import * as RemoteRunHttp from "./remote-run/RemoteRunHttp.ts"
import { SubRelays } from "./remote-run/sub-relays/SubRelays.ts"
import * as Admission from "./server/Admission.ts"
import * as GracefulStop from "./server/GracefulStop.ts"
import { Listener } from "./server/Listener.ts"
import { RelayServer } from "./server/RelayServer.ts"
import { Outbox } from "./shared-files/outbox/Outbox.ts"
import { Upstream } from "./shared-files/outbox/Upstream.ts"
import { SharedFiles } from "./shared-files/SharedFiles.ts"
import * as SharedFilesHttp from "./shared-files/SharedFilesHttp.ts"
import { SharedFileStore } from "./shared-files/store/SharedFileStore.ts"
import { SharedFolder } from "./shared-folder/SharedFolder.ts"
import * as SharedFolderHttp from "./shared-folder/SharedFolderHttp.ts"
import { Reload, type Reloadable } from "./system/Reload.ts"
import * as SystemHttp from "./system/SystemHttp.ts"
import { Certificates } from "./topology/Certificates.ts"
import { NodesList } from "./topology/NodesList.ts"

/** Remote runs over the agents, history and topology that are provided. */
export const remoteRun = RemoteRun.layer.pipe(Layer.provide(RunHistory.layer))

/** Shared files on the disk that is provided, and those on their way to the policy server that is; the shared folder. */
export const sharedFiles = Layer.merge(SharedFiles.layer, SharedFolder.layer).pipe(
  Layer.provide(Hasher.layer),
  Layer.provideMerge(Outbox.layer),
  Layer.provideMerge(SharedFileStore.layer)
)

/** Other relays, as they are reached over the network. */
const peers = Layer.mergeAll(SubRelays.layer, Upstream.layer).pipe(Layer.provide(PeerClient.layer))

/** Everything live: what the daemon uses. */
export const services = Layer.mergeAll(remoteRun, sharedFiles).pipe(
  Layer.provide([AgentProcess.layer, peers, Disk.layer]),
  Layer.provideMerge(Access.layer),
  Layer.provideMerge(Layer.mergeAll(NodesList.layer, Certificates.layer))
)

/** The handlers of every route, and what each request passes before them. */
export const api = Layer.mergeAll(HttpApiBuilder.api(RelayApi), Admission.layer).pipe(
  Layer.provide([RemoteRunHttp.layer, SharedFilesHttp.layer, SharedFolderHttp.layer, SystemHttp.layer])
)

/** Paths are exact: what differs in case, or by a slash, is another path. */
const routerConfig = HttpRouter.setRouterConfig({
  caseSensitive: true,
  ignoreTrailingSlash: false,
  ignoreDuplicateSlashes: false,
  maxParamLength: 4096
})

/** The relay as one `HttpApp`, over the services that are provided. */
export const httpApp = HttpApiBuilder.httpApp.pipe(
  Effect.provide(
    Layer.mergeAll(api, HttpApiBuilder.Router.Live, HttpApiBuilder.Middleware.layer).pipe(
      Layer.provideMerge(routerConfig)
    )
  )
)

/** The listener's own certificate and those of the nodes are loaded again too. */
const reload = (others: ReadonlyArray<Reloadable>) =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const server = yield* RelayServer
      const certificates = yield* Certificates
      return Reload.layer([
        ...others,
        { name: "certificate", reload: Effect.mapError(server.reload, (error) => error.message) },
        { name: "node certificates", reload: certificates.reload }
      ])
    })
  )

/**
 * Serves the relay until its scope ends. The graceful stop is there before the first connection can be, and runs before
 * anything is torn down.
 */
export const daemon = (reloadables: ReadonlyArray<Reloadable>) => {
  const serve = Layer.scoped(
    Listener,
    Effect.gen(function* () {
      const server = yield* RelayServer
      const app = yield* HttpApiBuilder.httpApp
      yield* GracefulStop.atEnd
      return yield* server.serve(app)
    })
  ).pipe(
    Layer.provide([HttpApiBuilder.Router.Live, HttpApiBuilder.Middleware.layer]),
    Layer.provide(api),
    Layer.provide(routerConfig),
    // A span for each request costs as much as the rest of it, and nothing takes them yet.
    HttpMiddleware.withTracerDisabledWhen(() => true)
  )
  return serve.pipe(
    Layer.provideMerge(reload(reloadables)),
    Layer.provideMerge(services),
    Layer.provideMerge(RelayServer.layer),
    Layer.provide(NodeHttpServer.layerContext)
  )
}
