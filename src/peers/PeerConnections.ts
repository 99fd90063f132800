/** Connections to other relays over TCP and TLS. */
import * as Net from "node:net"
import * as Tls from "node:tls"
import { FileSystem } from "@effect/platform"
import { Cause, Duration, Effect, Exit, FiberSet, Layer, Option } from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import type { Settings } from "../config/Settings.ts"
import * as CertificateFile from "../topology/CertificateFile.ts"
import { type Connected, KeptConnections } from "./KeptConnections.ts"
import { type Peer, PeerClient } from "./PeerClient.ts"
import { hostOf, open } from "./PeerSocket.ts"
import { type PeerUnreachable, unreachable } from "./PeerUnreachable.ts"

/** For connecting, the look-up of the name and the handshake included. */
const connectWithin = Duration.seconds(10)

/** What `layer` has. */
export const make = Effect.gen(function* () {
  const settings = yield* RelayConfig
  const fs = yield* FileSystem.FileSystem
  const reach = (peer: Peer) => Effect.provideService(establish(settings, peer), FileSystem.FileSystem, fs)
  return PeerClient.of({
    connect: (peer) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.tap(restore(reach(peer)), (socket) =>
          Effect.addFinalizer(() => Effect.sync(() => socket.destroy()))
        )
      ),
    pool: (peer) =>
      Effect.gen(function* () {
        const connecting = yield* FiberSet.make<Net.Socket, PeerUnreachable>()
        const run = yield* FiberSet.runtime(connecting)()
        const agent = yield* Effect.acquireRelease(
          Effect.sync(
            () =>
              new KeptConnections(settings.general.httpsIdleTimeout, (connected) => {
                run(reach(peer)).addObserver((exit) => tell(peer, exit, connected))
              })
          ),
          (connections) =>
            Effect.andThen(
              FiberSet.clear(connecting),
              Effect.sync(() => connections.destroy())
            )
        )
        return { agent, forget: Effect.sync(() => agent.forget()) }
      })
  })
})

/** Trusts peers as `general.peer_authentication` says, and shows them `tls.certificate` where there is one. */
export const layer = Layer.effect(PeerClient, make)

/** Tells a request what came of its connection, also where that was given up. */
const tell = ({ url }: Peer, exit: Exit.Exit<Net.Socket, PeerUnreachable>, connected: Connected): void => {
  if (Exit.isSuccess(exit)) connected(null, exit.value)
  else {
    const failure = Option.getOrElse(Cause.failureOption(exit.cause), () =>
      unreachable("connection", `${url.host}: ${Cause.pretty(exit.cause)}`)
    )
    connected(failure, undefined)
  }
}

/** A new connection to a peer that has shown who it is. */
const establish = (settings: Settings, peer: Peer) =>
  Effect.suspend(() => {
    let made: Net.Socket | undefined
    const making = (socket: Net.Socket) => {
      made = socket
    }
    return Effect.gen(function* () {
      if (peer.url.protocol === "http:") return yield* open(peer.url, undefined, making)
      const check = yield* identification(settings, peer)
      const options = yield* tlsOptions(settings, peer.url)
      const socket = yield* open(peer.url, options, making)
      yield* check(socket)
      return socket
    }).pipe(
      Effect.timeoutFail({
        duration: connectWithin,
        onTimeout: () =>
          unreachable("connection", `${peer.url.host}: no connection in ${Duration.format(connectWithin)}`)
      }),
      Effect.onError(() => Effect.sync(() => made?.destroy())),
      Effect.withSpan("PeerClient.connect", { attributes: { host: peer.url.host } })
    )
  })

/** Read for each connection, since certificates are replaced while the relay runs. */
const tlsOptions = ({ general, tls }: Settings, url: URL) =>
  Effect.gen(function* () {
    const read = (file: string) =>
      Effect.mapError(CertificateFile.text(file), (error) => unreachable("certificate", error.message))
    const identity = Option.getOrUndefined(tls.identity)
    const validated = general.peerAuthentication === "cert_validation"
    const host = hostOf(url)
    const options: Tls.ConnectionOptions = {
      ...(identity === undefined
        ? {}
        : { cert: yield* read(identity.certificate), key: yield* read(identity.key) }),
      ...(validated && Option.isSome(general.caPath) ? { ca: yield* read(general.caPath.value) } : {}),
      // Pinned is the key: neither names nor dates count then.
      rejectUnauthorized: validated,
      minVersion: "TLSv1.2",
      ALPNProtocols: ["http/1.1"],
      ...(Net.isIP(host) === 0 ? { servername: host } : {})
    }
    return options
  })

/** What a connection has to stand before it is used. Without a key to compare, none is opened. */
const identification = ({ general }: Settings, { keys, url }: Peer) =>
  Effect.gen(function* () {
    if (general.peerAuthentication !== "cert_pinning") return () => Effect.void
    const pinned = yield* keys
    return (socket: Net.Socket) => {
      const shown = socket instanceof Tls.TLSSocket ? socket.getPeerX509Certificate()?.publicKey : undefined
      return shown !== undefined && pinned.some((key) => key.equals(shown))
        ? Effect.void
        : unreachable(
            "certificate",
            `${url.host}: its certificate has another key than the one that is known`
          )
    }
  })
