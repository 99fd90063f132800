/**
 * The connections of a listener: each is known from its first moment to its last, none of them can end the process, and
 * none can hold up the stop.
 */

import { EventEmitter } from "node:events"
import * as Http from "node:http"
import * as Https from "node:https"
import type { Socket } from "node:net"
import { Duration, Effect } from "effect"
import { turn } from "../EventLoop.ts"

/** Requests of one connection that wait for the answer to the one before. More, and the client is not one of ours. */
const maxPipelined = 16
/** After an answer to a body that was not read: how much, and how long, is read on so that the client gets the answer. */
const lingerBytes = 4 * 1024 * 1024
const lingerMillis = 2000
/** At the stop, a connection that was accepted this short before may still bring its first request, for as long. */
const firstRequestMillis = 500

/** At the stop, the listener waits so long for a turn of the event loop that brings no connection. */
const quietMillis = 250

interface Handshake {
  readonly socket: Socket
  readonly since: number
}

/** Both ends of a connection: while it is open, no other has the same. */
const endsOf = (socket: Socket): string =>
  `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`

/** What went wrong with a socket is told by its "close" too; an "error" that nobody hears would end the process. */
const hearErrors = (source: EventEmitter): void => {
  source.on("error", () => {})
}

/** The connections of one listener. */
export class Connections {
  private readonly sockets = new Set<Socket>()
  /** Those of the sockets on which nothing was asked yet, with the time of the accept. */
  private readonly fresh = new Map<Socket, number>()
  /** Connections whose TLS handshake goes on, by their ends: node does not tell which of them has become secure. */
  private readonly handshakes = new Map<string, Handshake>()
  private readonly answering = new Map<Socket, Http.ServerResponse>()
  private readonly queued = new Map<Socket, Array<() => void>>()
  private acceptedSoFar = 0
  private handlers = 0
  private stopping = false
  private lastCall: NodeJS.Timeout | undefined
  private readonly waiting = new Set<() => void>()
  private readonly server: Http.Server | Https.Server

  /** Takes what this server accepts. A TLS handshake has `handshakeMillis`, however it is dripped. */
  constructor(server: Http.Server | Https.Server, handshakeMillis: number) {
    this.server = server
    server.on("connection", () => {
      this.acceptedSoFar++
    })
    if (server instanceof Https.Server) {
      server.on("connection", (socket: Socket) => this.beginHandshake(socket, handshakeMillis))
      server.on("secureConnection", (socket) => this.accepted(socket, this.endHandshake(socket)))
    } else server.on("connection", (socket) => this.accepted(socket, Date.now()))
    // Node would say 100 before the request was looked at.
    server.on("checkContinue", (request, response) => server.emit("request", request, response))
    server.on("connect", (request) => this.answerConnect(request))
    const emit = (event: string | symbol, ...args: Array<unknown>): boolean =>
      EventEmitter.prototype.emit.call(server, event, ...args)
    server.emit = (event: string | symbol, ...args: Array<unknown>) => {
      const [request, response] = args
      if (event !== "request" || !(request instanceof Http.IncomingMessage)) return emit(event, ...args)
      if (response instanceof Http.ServerResponse) this.inTurn(request, response, () => emit(event, ...args))
      return true
    }
  }

  /** A handler has begun. */
  begin(): void {
    this.handlers++
  }

  /** A handler has ended. */
  end(): void {
    this.handlers--
    this.changed()
  }

  /**
   * Listens no more, and closes the connections that have no answer under way. Connections that wait to be accepted and
   * requests that wait to be read are turns of the event loop away, and are still taken: it listens until a turn brings
   * no connection, as long as callers who come again at once leave it such a turn in time.
   */
  readonly stopAccepting: Effect.Effect<void> = Effect.gen(this, function* () {
    this.stopping = true
    const latest = Date.now() + quietMillis
    const bringsMore = Effect.suspend(() => {
      const before = this.acceptedSoFar
      return Effect.map(turn, () => this.acceptedSoFar > before && Date.now() < latest)
    })
    yield* turn
    yield* Effect.repeat(bringsMore, { while: (more) => more })
    this.stopListening()
  })

  /** Succeeds when no answer is under way. */
  readonly answered: Effect.Effect<void> = Effect.suspend(() =>
    this.until(() => this.answering.size === 0 && this.fresh.size === 0 && this.handshakes.size === 0)
  )

  /** Closes everything, and waits a second for it and for the handlers. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.stopping = true
    clearTimeout(this.lastCall)
    this.server.close()
    for (const socket of this.open()) socket.destroy()
    return this.until(() => this.handlers === 0 && this.open().length === 0).pipe(
      Effect.timeoutOption(Duration.seconds(1)),
      Effect.asVoid
    )
  })

  private open(): ReadonlyArray<Socket> {
    return [...this.sockets, ...Array.from(this.handshakes.values(), ({ socket }) => socket)]
  }

  private beginHandshake(socket: Socket, within: number): void {
    hearErrors(socket)
    const ends = endsOf(socket)
    // The peer is gone already.
    if (socket.remotePort === undefined) {
      socket.destroy()
      return
    }
    const handshake = { socket, since: Date.now() }
    this.handshakes.set(ends, handshake)
    const timer = setTimeout(() => {
      if (this.handshakes.get(ends) === handshake) socket.destroy()
    }, within)
    socket.once("close", () => {
      clearTimeout(timer)
      if (this.handshakes.get(ends) === handshake) this.handshakes.delete(ends)
      this.changed()
    })
  }

  /** Since when there is the connection that has now become this socket. */
  private endHandshake(socket: Socket): number {
    const ends = endsOf(socket)
    const handshake = this.handshakes.get(ends)
    this.handshakes.delete(ends)
    return handshake?.since ?? Date.now()
  }

  private accepted(socket: Socket, since: number): void {
    hearErrors(socket)
    this.sockets.add(socket)
    this.fresh.set(socket, since)
    socket.destroySoon = lingering(socket)
    socket.once("close", () => {
      this.sockets.delete(socket)
      this.fresh.delete(socket)
      this.queued.delete(socket)
      this.changed()
    })
  }

  private stopListening(): void {
    this.server.close()
    const youngest = Date.now() - firstRequestMillis
    for (const socket of this.sockets) {
      const response = this.answering.get(socket)
      if (response === undefined) {
        if ((this.fresh.get(socket) ?? 0) < youngest) socket.destroy()
      } else if (!response.headersSent) response.setHeader("connection", "close")
    }
    for (const { socket, since } of this.handshakes.values()) if (since < youngest) socket.destroy()
    this.lastCall = setTimeout(() => {
      for (const socket of this.fresh.keys()) socket.destroy()
      for (const { socket } of this.handshakes.values()) socket.destroy()
    }, firstRequestMillis)
  }

  /** Node keeps CONNECT from the parser's other requests; it is answered like one for a path that is not there. */
  private answerConnect(request: Http.IncomingMessage): void {
    const { socket } = request
    // Node has taken its own listeners off, so that an answer that is under way could not go on.
    if (this.answering.has(socket)) {
      socket.destroy()
      return
    }
    const response = new Http.ServerResponse(request)
    response.shouldKeepAlive = false
    response.assignSocket(socket)
    response.once("finish", () => {
      response.detachSocket(socket)
      response.emit("close")
      socket.destroySoon()
    })
    this.server.emit("request", request, response)
  }

  /** A pipelined request waits for the answer before it: the platform would never end it if the client left meanwhile. */
  private inTurn(request: Http.IncomingMessage, response: Http.ServerResponse, emit: () => void): void {
    const { socket } = request
    this.fresh.delete(socket)
    hearErrors(response)
    // Behind an answer that closes the connection nothing more is done (RFC 9112, 9.6).
    if (!socket.writable) return
    // Node drops what came in one piece with an upgrade, as if it were the other protocol's; the client sends it again.
    if (this.stopping || request.headers.upgrade !== undefined) response.setHeader("connection", "close")
    const answer = () => this.answer(socket, response, emit)
    const queue = this.queued.get(socket)
    if (!this.answering.has(socket)) answer()
    else if (queue === undefined) this.queued.set(socket, [answer])
    else if (queue.length < maxPipelined) queue.push(answer)
    else socket.destroy()
  }

  private answer(socket: Socket, response: Http.ServerResponse, emit: () => void): void {
    this.answering.set(socket, response)
    if (this.stopping && !response.headersSent) response.setHeader("connection", "close")
    response.once("close", () => {
      this.answering.delete(socket)
      const next = this.queued.get(socket)?.shift()
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
