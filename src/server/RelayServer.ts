/**
 * The HTTP or HTTPS listener of the daemon: node's server with the bounds of the contract, and a graceful stop.
 *
 * It is the platform's `HttpServer`, with what that lacks: pipelined requests one after the other, a refusal that
 * reaches a client which is still sending, and an end that nobody can hold up.
 */

import { EventEmitter } from "node:events"
import * as Http from "node:http"
import * as Https from "node:https"
import type { Socket } from "node:net"
import { FileSystem, type HttpApp, HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Context, Data, Duration, Effect, Layer, Option } from "effect"
import { RelayConfig, type Settings } from "../config/RelayConfig.ts"

export interface RelayServerService {
  /** Counts the requests that are being answered; belongs around the whole app. */
  readonly track: <E, R>(app: HttpApp.Default<E, R>) => HttpApp.Default<E, R>
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

export class RelayServer extends Context.Tag("rudder-relay/RelayServer")<RelayServer, RelayServerService>() {
  /** Listens from the start; requests are answered once an app is served. */
  static readonly layer = Layer.scopedContext(
    Effect.gen(function* () {
      const settings = yield* RelayConfig
      const connections = new Connections()
      const identity = yield* readIdentity(settings)
      const server = yield* Effect.try({ try: () => createServer(settings, identity), catch: identityError })
      server.maxConnections = settings.limits.maxConnections
      connections.attach(server)
      const { host, port } = settings.general.listen
      const http = yield* NodeHttpServer.make(() => server, { host, port, backlog: 1024 })
      const fs = yield* FileSystem.FileSystem
      const service: RelayServerService = {
        track: (app) =>
          Effect.acquireUseRelease(
            Effect.sync(() => connections.begin()),
            () => app,
            () => Effect.sync(() => connections.end())
          ),
        stopAccepting: Effect.sync(() => connections.stopAccepting(server)),
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
            })
          )
        )
      }
      return Context.make(RelayServer, service).pipe(Context.add(HttpServer.HttpServer, http))
    })
  )
}

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
    const fs = yield* FileSystem.FileSystem
    if (Option.isNone(tls.identity)) return Option.none<Identity>()
    const { certificate, key } = tls.identity.value
    return Option.some({ cert: yield* fs.readFileString(certificate), key: yield* fs.readFileString(key) })
  }).pipe(Effect.mapError(identityError))

const createServer = (
  { limits, tls }: Settings,
  identity: Option.Option<Identity>
): Http.Server | Https.Server => {
  const options = {
    // Uploads take as long as they take; a sender that stalls is ended by the route that reads.
    requestTimeout: 0,
    headersTimeout: Duration.toMillis(limits.headersTimeout),
    connectionsCheckingInterval: 1000,
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
      if (socket.getPeerX509Certificate() === undefined) socket.destroy()
    })
  return server
}

/** Requests of one connection that wait for the answer to the one before. More, and the client is not one of ours. */
const maxPipelined = 16
/** After an answer to a body that was not read: how much, and how long, is read on so that the client gets the answer. */
const lingerBytes = 4 * 1024 * 1024
const lingerMillis = 2000

class Connections {
  private readonly sockets = new Set<Socket>()
  private readonly answering = new Map<Socket, Http.ServerResponse>()
  private readonly queued = new Map<Socket, Array<() => void>>()
  private handlers = 0
  private stopping = false
  private readonly waiting = new Set<() => void>()

  attach(server: Http.Server | Https.Server): void {
    const accepted = (socket: Socket) => {
      this.sockets.add(socket)
      socket.destroySoon = lingering(socket)
      socket.once("close", () => {
        this.sockets.delete(socket)
        this.queued.delete(socket)
        this.changed()
      })
    }
    server.on(server instanceof Https.Server ? "secureConnection" : "connection", accepted)
    // Node would say 100 before the request was looked at.
    server.on("checkContinue", (request, response) => server.emit("request", request, response))
    const emit = (event: string | symbol, ...args: Array<unknown>): boolean =>
      EventEmitter.prototype.emit.call(server, event, ...args)
    server.emit = (event: string | symbol, ...args: Array<unknown>) => {
      const [request, response] = args
      if (event !== "request" || !(request instanceof Http.IncomingMessage)) return emit(event, ...args)
      if (response instanceof Http.ServerResponse)
        this.inTurn(request.socket, response, () => emit(event, ...args))
      return true
    }
  }

  begin(): void {
    this.handlers++
  }

  end(): void {
    this.handlers--
    this.changed()
  }

  stopAccepting(server: Http.Server): void {
    this.stopping = true
    server.close()
    for (const socket of this.sockets) {
      const response = this.answering.get(socket)
      if (response === undefined) socket.destroy()
      else if (!response.headersSent) response.setHeader("connection", "close")
    }
  }

  readonly answered = Effect.suspend(() => this.until(() => this.answering.size === 0))

  readonly close = Effect.suspend(() => {
    for (const socket of this.sockets) socket.destroy()
    return Effect.timeoutOption(
      this.until(() => this.handlers === 0 && this.sockets.size === 0),
      Duration.seconds(1)
    )
  })

  /** A pipelined request waits for the answer before it: the platform would never end it if the client left meanwhile. */
  private inTurn(socket: Socket, response: Http.ServerResponse, emit: () => void): void {
    const queue = this.queued.get(socket)
    if (this.answering.has(socket)) {
      if (queue === undefined) this.queued.set(socket, [() => this.answer(socket, response, emit)])
      else if (queue.length < maxPipelined) queue.push(() => this.answer(socket, response, emit))
      else socket.destroy()
      return
    }
    this.answer(socket, response, emit)
  }

  private answer(socket: Socket, response: Http.ServerResponse, emit: () => void): void {
    this.answering.set(socket, response)
    if (this.stopping) response.setHeader("connection", "close")
    response.once("close", () => {
      this.answering.delete(socket)
      const next = this.queued.get(socket)?.shift()
      // Behind an answer that closes the connection nothing more is done (RFC 9112, 9.6).
      if (next !== undefined && socket.writable) return next()
      if (this.stopping) socket.destroySoon()
      this.changed()
    })
    emit()
  }

  private changed(): void {
    for (const wake of this.waiting) wake()
  }

  private until(condition: () => boolean): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const check = () => {
        if (!condition()) return
        this.waiting.delete(check)
        resume(Effect.void)
      }
      this.waiting.add(check)
      check()
      return Effect.sync(() => this.waiting.delete(check))
    })
  }
}

/**
 * Closes in the way in which an answer survives: our side is ended, and what the client still sends is read and
 * forgotten for a while. Closing at once would answer it with a reset, which can overtake the answer.
 */
const lingering = (socket: Socket) => (): void => {
  if (socket.destroyed) return
  if (socket.readableEnded) {
    socket.end(() => socket.destroy())
    return
  }
  let left = lingerBytes
  const timer = setTimeout(() => socket.destroy(), lingerMillis)
  socket.once("close", () => clearTimeout(timer))
  socket.once("end", () => socket.destroy())
  socket.on("data", (bytes: Buffer) => {
    left -= bytes.length
    if (left < 0) socket.destroy()
  })
  socket.end()
  socket.resume()
}
