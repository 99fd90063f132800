/**
 * This relay as a client of other relays: who they are is known before anything is sent.
 *
 * Connecting and asking are apart: a peer that could not be reached got nothing, whatever else may be true of it.
 */
import type { KeyObject } from "node:crypto"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { FileSystem } from "@effect/platform"
import { Context, Data, Duration, Effect, Exit, Layer, Option, Runtime, type Scope } from "effect"
import { RelayConfig, type Settings } from "../config/RelayConfig.ts"

/**
 * There was no answer, or it broke off.
 *
 * - `connection`: none in 10 s, or refused. Nothing was sent.
 * - `certificate`: the peer can't prove that it is the one that was meant. Nothing was sent.
 * - `stale`: a connection that had been used before was gone; another one may do.
 * - `broken`: the connection broke off after something had been sent.
 * - `silent`: neither side moved a byte for too long.
 */
export class PeerUnreachable extends Data.TaggedError("PeerUnreachable")<{
  readonly reason: "connection" | "certificate" | "stale" | "broken" | "silent"
  readonly message: string
}> {}

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
/** How long one of several addresses of a name is tried before the next: node's own 250 ms are short for a far site. */
const addressMillis = 2500
/** After so much silence the kernel asks whether the peer is still there. */
const keepAliveMillis = 30_000

const unreachable = (reason: PeerUnreachable["reason"], message: string) =>
  new PeerUnreachable({ reason, message })

const make = Effect.gen(function* () {
  const settings = yield* RelayConfig
  const fs = yield* FileSystem.FileSystem
  const runtime = yield* Effect.runtime()

  const establish = (peer: Peer) =>
    Effect.gen(function* () {
      if (peer.url.protocol === "http:") return yield* open(peer.url, undefined)
      const check = yield* identification(settings, peer)
      const options = yield* tlsOptions(settings, peer.url)
      const socket = yield* open(peer.url, options)
      yield* Effect.onError(check(socket), () => Effect.sync(() => socket.destroy()))
      return socket
    }).pipe(
      Effect.provideService(FileSystem.FileSystem, fs),
      Effect.timeoutFail({
        duration: connectWithin,
        onTimeout: () =>
          unreachable("connection", `${peer.url.host}: no connection in ${Duration.format(connectWithin)}`)
      }),
      Effect.withSpan("PeerClient.connect", { attributes: { host: peer.url.host } })
    )

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
              Runtime.runCallback(runtime)(Effect.either(establish(peer)), {
                onExit: (exit) => {
                  if (Exit.isFailure(exit))
                    connected(unreachable("connection", String(exit.cause)), undefined)
                  else if (exit.value._tag === "Left") connected(exit.value.left, undefined)
                  else connected(null, exit.value.right)
                }
              })
            })
        ),
        (pool) => Effect.sync(() => pool.destroy())
      )
  })
})

type Connected = (error: PeerUnreachable | null, socket: Net.Socket | undefined) => void

/** Connections to one peer that are used again. */
export class PeerPool extends Http.Agent {
  private readonly establish: (connected: Connected) => void
  private readonly idleMillis: number
  private readonly current = new Set<Net.Socket>()

  constructor(idle: Duration.Duration, establish: (connected: Connected) => void) {
    const idleMillis = Duration.toMillis(idle)
    super({ keepAlive: idleMillis > 0, timeout: idleMillis })
    this.establish = establish
    this.idleMillis = idleMillis
  }

  override createConnection(
    _options: Http.ClientRequestArgs,
    callback?: (error: Error | null, socket: Net.Socket) => void
  ): undefined {
    this.establish((error, socket) => {
      if (socket !== undefined) {
        this.current.add(socket)
        socket.once("close", () => this.current.delete(socket))
        socket.setTimeout(this.idleMillis)
      }
      // Node takes no socket where there is an error, though its type asks for one.
      callback?.(error, socket as Net.Socket)
    })
    return undefined
  }

  /** Uses none of the connections that are open now again: who they lead to may not be trusted any more. */
  forget(): void {
    this.current.clear()
    for (const sockets of Object.values(this.freeSockets))
      for (const socket of [...(sockets ?? [])]) socket.destroy()
  }

  override keepSocketAlive(socket: Net.Socket): boolean {
    const kept: unknown = super.keepSocketAlive(socket)
    return kept === true && this.current.has(socket)
  }
}

/** The host of a URL as a socket wants it: an IPv6 address without brackets. */
const hostOf = (url: URL): string => url.hostname.replace(/^\[(.*)\]$/, "$1")

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

/** Errors of a socket are those of the request on it, or come when nobody waits for anything. */
const ignoreError = () => {}

/** `tls` undefined: plain TCP. */
const open = (url: URL, tls: Tls.ConnectionOptions | undefined) =>
  Effect.async<Net.Socket, PeerUnreachable>((resume) => {
    const address = {
      host: hostOf(url),
      port: Number(url.port || (tls === undefined ? 80 : 443)),
      autoSelectFamilyAttemptTimeout: addressMillis
    }
    const refused = (error: Error) =>
      resume(
        unreachable(isCertificateError(error) ? "certificate" : "connection", `${url.host}: ${text(error)}`)
      )
    let socket: Net.Socket
    try {
      socket = tls === undefined ? Net.connect(address) : Tls.connect({ ...tls, ...address })
    } catch (error) {
      // The certificate that this relay itself should show is none, or the key is another's.
      refused(error instanceof Error ? error : new Error(String(error)))
      return
    }
    socket.on("error", ignoreError)
    socket.once("error", refused)
    socket.once(tls === undefined ? "connect" : "secureConnect", () => {
      socket.off("error", refused)
      socket.setNoDelay(true).setKeepAlive(true, keepAliveMillis)
      resume(Effect.succeed(socket))
    })
    return Effect.sync(() => socket.destroy())
  })

/** Node's codes for a chain or a name that does not hold: none of them begins with E followed by a system error's name. */
const isCertificateError = (error: Error): boolean =>
  "code" in error &&
  typeof error.code === "string" &&
  /^(ERR_TLS_CERT_|ERR_OSSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_CA|PATH_LENGTH_|HOSTNAME_MISMATCH)/.test(
    error.code
  )

/** An error of several addresses has no message of its own. */
const text = (error: Error): string =>
  error instanceof AggregateError && error.message === ""
    ? error.errors.map((each) => (each instanceof Error ? each.message : String(each))).join(", ")
    : error.message

export interface PeerRequest {
  readonly method: "DELETE" | "HEAD" | "POST" | "PUT"
  readonly url: URL
  readonly headers: Http.OutgoingHttpHeaders
  /** Without a byte in either direction for so long, it is over. Absent: the caller watches. */
  readonly silence?: Duration.Duration
  /** Sends the body, and ends the request. */
  readonly send: (request: Http.ClientRequest) => void
}

/**
 * Asks, and succeeds with the answer's head as soon as that is there, be the request sent or not; redirects are not
 * followed. What is not over with the scope is cut off.
 */
export const ask = (
  via: Net.Socket | PeerPool,
  { method, url, headers, silence, send }: PeerRequest
): Effect.Effect<Http.IncomingMessage, PeerUnreachable, Scope.Scope> =>
  Effect.gen(function* () {
    const request = yield* Effect.acquireRelease(
      Effect.sync(() =>
        Http.request({
          method,
          path: `${url.pathname}${url.search}`,
          headers: { host: url.host, ...headers },
          ...(via instanceof PeerPool ? { agent: via } : { createConnection: () => via }),
          ...(silence === undefined ? {} : { timeout: Duration.toMillis(silence) })
        })
      ),
      (request) => Effect.sync(() => request.destroy())
    )
    request.on("error", ignoreError)
    if (silence !== undefined)
      request.on("timeout", () =>
        request.destroy(unreachable("silent", `${url.host}: silent for ${Duration.format(silence)}`))
      )
    return yield* answer(request, url, send)
  })

const answer = (request: Http.ClientRequest, url: URL, send: PeerRequest["send"]) =>
  Effect.async<Http.IncomingMessage, PeerUnreachable>((resume) => {
    const failed = (error: Error) =>
      resume(
        error instanceof PeerUnreachable
          ? error
          : unreachable(request.reusedSocket ? "stale" : "broken", `${url.host}: ${text(error)}`)
      )
    request.once("error", failed)
    request.once("response", (response) => {
      // A reader that comes later finds it in the message's state.
      response.on("error", ignoreError)
      resume(Effect.succeed(response))
    })
    send(request)
  })

/**
 * The beginning of an answer's body, for a message to a person; the rest is not waited for. Never fails: what can't be
 * read is empty.
 */
export const beginning = (message: Http.IncomingMessage, maxLength: number): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    const parts: Array<Buffer> = []
    let length = 0
    const finish = () => {
      message.off("data", more).off("close", finish).off("end", finish)
      resume(Effect.succeed(Buffer.concat(parts).toString("utf8")))
    }
    const more = (bytes: Buffer) => {
      parts.push(bytes)
      length += bytes.length
      if (length >= maxLength) finish()
    }
    message.on("data", more).once("end", finish).once("close", finish)
    return Effect.sync(finish)
  })
