/**
 * The relay, composed: its services, the one `HttpApp` over them, and the daemon that serves it.
 *
 * A program that embeds a relay takes `services` and `httpApp`, and may provide other Layers for any part.
 */
import { HttpApiBuilder, HttpMiddleware, HttpRouter } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Duration, Effect, Layer } from "effect"
import { Access } from "./access/Access.ts"
import { RelayConfig } from "./config/RelayConfig.ts"
import { Disk } from "./disk/Disk.ts"
import * as FolderLease from "./disk/FolderLease.ts"
import { Hasher } from "./disk/Hasher.ts"
import * as RegularFiles from "./disk/RegularFiles.ts"
import { PeerClient } from "./peers/PeerClient.ts"
import { RelayApi } from "./RelayApi.ts"
import { AgentProcess } from "./remote-run/agents/AgentProcess.ts"
import { RunHistory } from "./remote-run/journal/RunHistory.ts"
import { RemoteRun } from "./remote-run/RemoteRun.ts"
import * as RemoteRunHttp from "./remote-run/RemoteRunHttp.ts"
import { SubRelays } from "./remote-run/sub-relays/SubRelays.ts"
import * as Admission from "./server/Admission.ts"
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
export const remoteRun = RemoteRun.layer.pipe(
  Layer.provide(RunHistory.layer),
  Layer.provide(RegularFiles.layer)
)

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
  Layer.provide([AgentProcess.layer, peers, Disk.layer, FolderLease.layer]),
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

/** So much of the grace is kept to cut off what did not end in it, and to exit. */
const margin = (grace: Duration.Duration): Duration.Duration =>
  Duration.min(Duration.times(grace, 0.2), Duration.millis(500))
/** Answers whose runs were cancelled have this long to say so. */
const lastWords = Duration.millis(200)

/**
 * At the end: no new connections and no new agents; answers and agents have the grace to finish; agents still running
 * then are ended, and what is left of the connections is closed.
 */
const gracefulStop = Layer.scopedDiscard(
  Effect.gen(function* () {
    const { general } = yield* RelayConfig
    const server = yield* RelayServer
    const remoteRun = yield* RemoteRun
    const grace = Duration.subtract(general.shutdownGrace, margin(general.shutdownGrace))
    const stop = Effect.gen(function* () {
      yield* Effect.logInfo("stopping")
      yield* server.stopAccepting
      const finished = Effect.all([remoteRun.drain, server.answered], { concurrency: 2, discard: true })
      const inTime = yield* Effect.timeoutOption(finished, grace)
      if (inTime._tag === "None")
        yield* Effect.all([remoteRun.cancelAll, server.answered], { concurrency: 2, discard: true }).pipe(
          Effect.timeoutOption(lastWords)
        )
      yield* server.close
    })
    yield* Effect.addFinalizer(() => Effect.interruptible(stop))
  })
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

/** Serves the relay until its scope ends. Registered after `serve`, the graceful stop runs before anything is torn down. */
export const daemon = (reloadables: ReadonlyArray<Reloadable>) => {
  const serve = Layer.unwrapEffect(
    Effect.map(RelayServer, (server) => HttpApiBuilder.serve((app) => server.track(app)))
  ).pipe(
    Layer.provide(api),
    Layer.provide(routerConfig),
    // A span for each request costs as much as the rest of it, and nothing takes them yet.
    HttpMiddleware.withTracerDisabledWhen(() => true)
  )
  return gracefulStop.pipe(
    Layer.provideMerge(serve),
    Layer.provideMerge(reload(reloadables)),
    Layer.provideMerge(services),
    Layer.provideMerge(RelayServer.layer),
    Layer.provide(RegularFiles.layer),
    Layer.provide(NodeHttpServer.layerContext)
  )
}
