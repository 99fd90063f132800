/**
 * This relay as a client of other relays: who they are is known before anything is sent.
 *
 * Connecting and asking are apart: a peer that could not be reached got nothing, whatever else may be true of it.
 */
import type { KeyObject } from "node:crypto"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { FileSystem } from "@effect/platform"
import { Cause, Context, Duration, Effect, Exit, Layer, Option, Runtime, type Scope } from "effect"
import { RelayConfig, type Settings } from "../config/RelayConfig.ts"
import { PeerPool } from "./PeerPool.ts"
import { hostOf, open } from "./PeerSocket.ts"
import { type PeerUnreachable, unreachable } from "./PeerUnreachable.ts"

/** The keys that a pinned peer may have; fails with what is wrong where there are none to compare. */
export type PinnedKeys = Effect.Effect<ReadonlyArray<KeyObject>, string>

export interface Peer {
  /** Protocol, host and port count. With `http:` nothing is checked. */
  readonly url: URL
  /** Asked for each connection, with `cert_pinning` only. */
  readonly keys: PinnedKeys
}

export interface PeerClientService {
  /** A new connection, which lasts as long as the scope. */
  readonly connect: (peer: Peer) => Effect.Effect<Net.Socket, PeerUnreachable, Scope.Scope>
  /** Connections that are kept for `general.https_idle_timeout` after use. What is left of them ends with the scope. */
  readonly pool: (peer: Peer) => Effect.Effect<PeerPool, never, Scope.Scope>
}

export class PeerClient extends Context.Tag("rudder-relay/PeerClient")<PeerClient, PeerClientService>() {
  /** Trusts peers as `general.peer_authentication` says, and shows them `tls.certificate` where there is one. */
  static readonly layer = Layer.effect(
    PeerClient,
    Effect.suspend(() => make)
  )
}

/** For connecting, the look-up of the name and the handshake included. */
const connectWithin = Duration.seconds(10)

const make = Effect.gen(function* () {
  const settings = yield* RelayConfig
  const fs = yield* FileSystem.FileSystem
  const runtime = yield* Effect.runtime()

  const establish = (peer: Peer) =>
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
        Effect.provideService(FileSystem.FileSystem, fs),
        Effect.timeoutFail({
          duration: connectWithin,
          onTimeout: () =>
            unreachable("connection", `${peer.url.host}: no connection in ${Duration.format(connectWithin)}`)
        }),
        Effect.onError(() => Effect.sync(() => made?.destroy())),
        Effect.withSpan("PeerClient.connect", { attributes: { host: peer.url.host } })
      )
    })

  return PeerClient.of({
    connect: (peer) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.tap(restore(establish(peer)), (socket) =>
          Effect.addFinalizer(() => Effect.sync(() => socket.destroy()))
        )
      ),
    pool: (peer) =>
      Effect.acquireRelease(
        Effect.sync(
          () =>
            new PeerPool(settings.general.httpsIdleTimeout, (connected) => {
              const connecting = Effect.either(establish(peer))
              const stop = Runtime.runCallback(runtime)(connecting, {
                onExit: (exit) => {
                  if (Exit.isFailure(exit))
                    connected(
                      unreachable("connection", `${peer.url.host}: ${Cause.pretty(exit.cause)}`),
                      undefined
                    )
                  else if (exit.value._tag === "Left") connected(exit.value.left, undefined)
                  else connected(null, exit.value.right)
                }
              })
              return () => stop()
            })
        ),
        (pool) => Effect.sync(() => pool.destroy())
      )
  })
})

/** Read for each connection, since certificates are replaced while the relay runs. */
const tlsOptions = ({ general, tls }: Settings, url: URL) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const read = (file: string) =>
      Effect.mapError(fs.readFileString(file), (error) => unreachable("certificate", error.message))
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
    const pinned = yield* Effect.mapError(keys, (problem) => unreachable("certificate", problem))
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
