/**
 * The HTTP or HTTPS listener of the daemon: node's server with the bounds of the contract, and a graceful stop.
 *
 * Beside the platform's `HttpServer` it has pipelined requests one after the other, a refusal that reaches a client which
 * is still sending, and an end that nobody can hold up. It knows no upgrades, and listens only when there is an app.
 */

import * as Http from "node:http"
import * as Https from "node:https"
import { FileSystem, type HttpServer, HttpServerError } from "@effect/platform"
import { Context, Data, Duration, Effect, Layer, Option, Ref, Runtime } from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import type { Settings } from "../config/Settings.ts"
import * as CertificateFile from "../topology/CertificateFile.ts"
import { OwnCertificate } from "../topology/OwnCertificate.ts"
import type { Begin } from "./BegunRequest.ts"
import { Connections } from "./Connections.ts"
import * as RequestListener from "./RequestListener.ts"
import * as UnreadableRequests from "./UnreadableRequests.ts"

/** The listener, and the steps of its stop. */
export interface RelayServerService {
  /** Listens, from the moment on in which this app can answer; gives the address. Until the server's scope ends. */
  readonly serve: <E, R, Q>(
    app: Begin<E, R, Q>
  ) => Effect.Effect<HttpServer.Address, HttpServerError.ServeError, R>
  /** Accepts no more, and closes the connections that have no answer under way. */
  readonly stopAccepting: Effect.Effect<void>
  /** Succeeds when no answer is under way. */
  readonly answered: Effect.Effect<void>
  /** Closes what is left, and waits for the handlers to end. */
  readonly close: Effect.Effect<void>
  /** Takes the certificate and key from the disk again; connections that are open keep theirs. */
  readonly reload: Effect.Effect<void, IdentityError>
}

/** The certificate and key of this relay can't be used: not there, not PEM, or not a pair. */
export class IdentityError extends Data.TaggedError("IdentityError")<{ readonly message: string }> {}

/** The listener of the daemon. */
export class RelayServer extends Context.Tag("rudder-relay/RelayServer")<RelayServer, RelayServerService>() {
  /** Has its certificate from the start; listens once an app is served. */
  static readonly layer = Layer.scoped(
    RelayServer,
    Effect.gen(function* () {
      const settings = yield* RelayConfig
      const fs = yield* FileSystem.FileSystem
      const identity = yield* readIdentity(settings)
      const server = yield* Effect.try({ try: () => createServer(settings, identity), catch: identityError })
      const own = yield* OwnCertificate
      const inForce = (pair: typeof identity) =>
        Ref.set(
          own,
          Option.map(pair, ({ cert }) => cert)
        )
      yield* inForce(identity)
      server.maxConnections = settings.limits.maxConnections
      const connections = yield* Effect.acquireRelease(
        Effect.sync(() => new Connections(server, Duration.toMillis(settings.limits.headersTimeout))),
        ({ close }) => close
      )
      yield* reportLosses(server, settings)
      yield* UnreadableRequests.answered(server, settings.limits)
      return {
        serve: (app) =>
          Effect.gen(function* () {
            server.on("request", yield* RequestListener.make(app, connections))
            return yield* listen(server, settings)
          }),
        stopAccepting: connections.stopAccepting,
        answered: connections.answered,
        close: connections.close,
        reload: readIdentity(settings).pipe(
          Effect.provideService(FileSystem.FileSystem, fs),
          Effect.flatMap((pair) =>
            Effect.try({
              try: () => {
                if (server instanceof Https.Server && Option.isSome(pair)) server.setSecureContext(pair.value)
              },
              catch: identityError
            }).pipe(Effect.andThen(inForce(pair)))
          )
        )
      }
    })
  )
}

const listen = (
  server: Http.Server | Https.Server,
  { general }: Settings
): Effect.Effect<HttpServer.Address, HttpServerError.ServeError> =>
  Effect.async((resume) => {
    const onError = (cause: Error) => resume(Effect.fail(new HttpServerError.ServeError({ cause })))
    server.once("error", onError)
    const { host, port } = general.listen
    server.listen({ host, port, backlog: 1024 }, () => {
      server.off("error", onError)
      const address = server.address()
      resume(
        Effect.succeed(
          address === null || typeof address === "string"
            ? { _tag: "UnixAddress", path: address ?? "" }
            : { _tag: "TcpAddress", hostname: address.address, port: address.port }
        )
      )
    })
  })

/** Between two lines about connections that were lost. */
const lossInterval = Duration.toMillis("1 minute")

/** A connection that could not be accepted is told in the log, once a minute; the daemon goes on. */
const reportLosses = (server: Http.Server | Https.Server, { limits }: Settings) =>
  Effect.map(Effect.runtime(), (runtime) => {
    let last = Number.NEGATIVE_INFINITY
    const warn = (message: string, annotations: Record<string, unknown>) => {
      if (Date.now() - last < lossInterval) return
      last = Date.now()
      Runtime.runFork(runtime)(Effect.annotateLogs(Effect.logWarning(message), annotations))
    }
    server.on("error", (error) => {
      if (server.listening) warn("a connection could not be accepted", { error: error.message })
    })
    server.on("drop", (peer) =>
      warn("too many connections; more are closed as they come", {
        key: "limits.max_connections",
        limit: limits.maxConnections,
        address: peer?.remoteAddress
      })
    )
  })

interface Identity {
  readonly cert: string
  readonly key: string
}

const identityError = (cause: unknown): IdentityError =>
  new IdentityError({
    message: `tls.certificate and tls.key: ${cause instanceof Error ? cause.message : String(cause)}`
  })

const readIdentity = ({ tls }: Settings) =>
  Effect.gen(function* () {
    if (Option.isNone(tls.identity)) return Option.none<Identity>()
    const { certificate, key } = tls.identity.value
    return Option.some({
      cert: yield* CertificateFile.text(certificate),
      key: yield* CertificateFile.text(key)
    })
  }).pipe(Effect.mapError(identityError))

/** As OpenSSL would say it, were it OpenSSL that asks for it. */
const noCertificate = (): Error =>
  Object.assign(new Error("it showed no certificate (tls.client_certificates)"), {
    code: "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"
  })

const createServer = (
  { limits, tls }: Settings,
  identity: Option.Option<Identity>
): Http.Server | Https.Server => {
  const options = {
    // Uploads take as long as they take; a sender that stalls is ended by the route that reads.
    requestTimeout: 0,
    headersTimeout: Duration.toMillis(limits.headersTimeout),
    connectionsCheckingInterval: 1000,
    // A request without a host is refused by `Admission`: node's answer has no id, and nobody would hear of it.
    requireHostHeader: false,
    maxHeaderSize: limits.maxHeaderSize,
    highWaterMark: 1 << 20
  }
  if (Option.isNone(identity)) return Http.createServer(options)
  const server = Https.createServer({
    ...options,
    ...identity.value,
    minVersion: "TLSv1.2",
    requestCert: tls.clientCertificates !== "none",
    rejectUnauthorized: false
  })
  // Node would ask for one of a CA that it knows, where all are self-signed.
  if (tls.clientCertificates === "require")
    server.on("secureConnection", (socket) => {
      if (socket.getPeerX509Certificate() === undefined) server.emit("clientError", noCertificate(), socket)
    })
  return server
}
