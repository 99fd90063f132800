/**
 * The relay, composed: its services, the one `HttpApp` over them, and the daemon that serves it.
 *
 * A program that embeds a relay takes `services` and `httpApp`, and provides what they use: `live`, or services of its
 * own for any part of it.
 */
import { Etag, FileSystem, HttpApiBuilder, HttpPlatform, type HttpRouter, Path } from "@effect/platform"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpPlatform from "@effect/platform-node/NodeHttpPlatform"
import * as NodePath from "@effect/platform-node/NodePath"
import { Context, Effect, Layer } from "effect"
import { Access } from "./access/Access.ts"
import { Disk } from "./disk/Disk.ts"
import * as FolderLease from "./disk/FolderLease.ts"
import { Hasher } from "./disk/Hasher.ts"
import { Lease } from "./disk/Lease.ts"
import * as NodeDisk from "./disk/NodeDisk.ts"
import * as RegularFiles from "./disk/RegularFiles.ts"
import * as WorkerHasher from "./disk/WorkerHasher.ts"
import { PeerClient } from "./peers/PeerClient.ts"
import * as PeerConnections from "./peers/PeerConnections.ts"
import { RelayApi } from "./RelayApi.ts"
import { AgentProcess } from "./remote-run/agents/AgentProcess.ts"
import * as LocalAgents from "./remote-run/agents/LocalAgents.ts"
import * as FolderHistory from "./remote-run/journal/FolderHistory.ts"
import { RunHistory } from "./remote-run/journal/RunHistory.ts"
import { RemoteRun } from "./remote-run/RemoteRun.ts"
import * as RemoteRunHttp from "./remote-run/RemoteRunHttp.ts"
import * as SubRelayCalls from "./remote-run/sub-relays/SubRelayCalls.ts"
import { SubRelays } from "./remote-run/sub-relays/SubRelays.ts"
import * as Stacked from "./Stacked.ts"
import { toHttpApp } from "./server/BegunRequest.ts"
import * as GracefulStop from "./server/GracefulStop.ts"
import { Listener } from "./server/Listener.ts"
import { OneRelay } from "./server/OneRelay.ts"
import * as RelayApp from "./server/RelayApp.ts"
import { RelayServer } from "./server/RelayServer.ts"
import { RefusedRequests } from "./server/RequestLog.ts"
import { Outbox, make as openOutbox } from "./shared-files/outbox/Outbox.ts"
import * as OutboxFolder from "./shared-files/outbox/OutboxFolder.ts"
import { OutboxStorage } from "./shared-files/outbox/OutboxStorage.ts"
import { Upstream } from "./shared-files/outbox/Upstream.ts"
import * as UpstreamCalls from "./shared-files/outbox/UpstreamCalls.ts"
import { SharedFiles } from "./shared-files/SharedFiles.ts"
import * as SharedFilesHttp from "./shared-files/SharedFilesHttp.ts"
import { SharedFileStore, tidied as tidiedStore } from "./shared-files/store/SharedFileStore.ts"
import { SharedFolder } from "./shared-folder/SharedFolder.ts"
import * as SharedFolderHttp from "./shared-folder/SharedFolderHttp.ts"
import { Reload, type Reloadable } from "./system/Reload.ts"
import * as SystemHttp from "./system/SystemHttp.ts"
import { Certificates } from "./topology/Certificates.ts"
import { NodesList } from "./topology/NodesList.ts"
import { OwnCertificate } from "./topology/OwnCertificate.ts"
import * as WatchedCertificates from "./topology/WatchedCertificates.ts"
import * as WatchedNodesList from "./topology/WatchedNodesList.ts"

/**
 * What a relay does, over what is provided: each service that one of these uses is a requirement of their type. Of several
 * relays in one program each is to be in a `Layer.fresh`, since Effect builds a Layer once, however often it is named.
 */
export const services = Layer.mergeAll(
  RemoteRun.layer,
  SharedFiles.layer,
  SharedFolder.layer,
  Access.layer,
  RefusedRequests.layer,
  OneRelay.layer
).pipe(Stacked.provide(RegularFiles.layer))

/**
 * All that `services` uses, real, but for what `replaced` provides: agents are processes, files are on the disk, other
 * relays are reached over the network. What is real uses what was put in the place of the rest, and what was replaced is
 * never made.
 */
export const liveWith = <A, E, R>(replaced: Layer.Layer<A, E, R>) =>
  Stacked.together(Stacked.orGiven(Outbox, openOutbox), Stacked.orGiven(SubRelays, SubRelayCalls.make)).pipe(
    // Files are read, and folders are taken, at the same time.
    Stacked.provideMerge(
      Stacked.together(
        Stacked.orGiven(SharedFileStore, tidiedStore),
        Stacked.orGiven(RunHistory, FolderHistory.make),
        Stacked.orGiven(NodesList, WatchedNodesList.make),
        Stacked.orGiven(Certificates, WatchedCertificates.make),
        Stacked.orGiven(Upstream, UpstreamCalls.make),
        Stacked.orGiven(OutboxStorage, OutboxFolder.make)
      )
    ),
    Stacked.provideMerge(
      Stacked.inTurn(
        Stacked.orGiven(AgentProcess, LocalAgents.configured),
        Stacked.orGiven(PeerClient, PeerConnections.make),
        Stacked.orGiven(Disk, NodeDisk.local),
        Stacked.orGiven(Lease, Effect.succeed(FolderLease.locks)),
        Stacked.orGiven(Hasher, WorkerHasher.make)
      )
    ),
    Stacked.provideMerge(replaced),
    Stacked.provide(Layer.fresh(RegularFiles.layer))
  )

/** All that `services` uses, real. */
export const live = liveWith(Layer.empty)

/** The handlers of every route. */
export const api = HttpApiBuilder.api(RelayApi).pipe(
  Stacked.provide(
    Layer.mergeAll(RemoteRunHttp.layer, SharedFilesHttp.layer, SharedFolderHttp.layer, SystemHttp.layer)
  )
)

const handlers = api.pipe(Stacked.provideMerge(HttpApiBuilder.Router.Live))

/** The relay as one `HttpApp`, over the services that are provided. */
export const httpApp = Effect.andThen(OneRelay.check, Effect.map(RelayApp.make, toHttpApp)).pipe(
  Effect.provide(handlers)
)

/** What the platform's routes are given. `NodeHttpServer` has it too, with workers and terminals, which a relay has not. */
const platform = Layer.effect(HttpPlatform.HttpPlatform, NodeHttpPlatform.make).pipe(
  Stacked.provide(Layer.merge(NodeFileSystem.layer, Etag.layer)),
  (made) => Layer.mergeAll(made, Etag.layerWeak, NodeFileSystem.layer, NodePath.layer)
)

/** All that the platform hands to each request, in which a context is copied some times: what handlers need else, they have. */
const forRequests = (
  given: Context.Context<HttpRouter.HttpRouter.DefaultServices>
): Context.Context<HttpRouter.HttpRouter.DefaultServices> =>
  Context.pick(FileSystem.FileSystem, HttpPlatform.HttpPlatform, Etag.Generator, Path.Path)(given)

/** The listener's own certificate and those of the nodes are loaded again too. */
const reload = (others: ReadonlyArray<Reloadable>) =>
  Stacked.unwrap(
    Effect.gen(function* () {
      const server = yield* RelayServer
      const certificates = yield* Certificates
      return Reload.layer([
        ...others,
        { name: "certificate", reload: server.reload },
        { name: "node certificates", reload: certificates.reload }
      ])
    })
  )

/**
 * Serves the relay, over `live` or what stands in for it, until its scope ends. The graceful stop is registered before
 * the first connection can come, and runs before anything is torn down.
 */
export const daemon = (reloadables: ReadonlyArray<Reloadable>) => {
  const serve = Layer.scoped(
    Listener,
    Effect.gen(function* () {
      const server = yield* RelayServer
      const app = yield* RelayApp.make
      yield* GracefulStop.atEnd
      return yield* Effect.mapInputContext(server.serve(app), forRequests)
    })
  ).pipe(Stacked.provide(Layer.fresh(handlers)))
  return serve.pipe(
    Stacked.provideMerge(reload(reloadables)),
    Stacked.provideMerge(Layer.fresh(services)),
    Stacked.provideMerge(Layer.fresh(RelayServer.layer)),
    Stacked.provideMerge(Layer.fresh(OwnCertificate.layer)),
    Stacked.provide(Layer.fresh(RegularFiles.layer)),
    Stacked.provide(platform)
  )
}
