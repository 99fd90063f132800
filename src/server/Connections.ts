/**
 * The connections of a listener: each is known from its first moment to its last, none of them can end the process, and
 * none can hold up the stop.
 */

import { EventEmitter } from "node:events"
import * as Http from "node:http"
import * as Https from "node:https"
import type { Socket } from "node:net"
import { Effect } from "effect"
import { turn } from "../EventLoop.ts"
import * as Race from "../Race.ts"

/** Requests of one connection that wait for the answer to the one before. More, and the client is not one of ours. */
const maxPipelined = 16
/**
 * After an answer to a request whose body was not read, so many bytes of it are read, for so long: else a reset would
 * reach the client before the answer.
 */
const lingerBytes = 4 * 1024 * 1024
const lingerMillis = 2000
/** At the stop, a connection that was accepted less than this ago has as long again to bring its first request. */
const firstRequestMillis = 500

/**
 * At the stop, the listener stays open until the event loop came round without a new connection, or this time is over.
 */
const quietMillis = 250

/** Timers of node that are longer are over at once. Milliseconds. */
const longestTimer = 2 ** 31 - 1

interface Handshake {
  readonly socket: Socket
  readonly since: number
}

/** The addresses and ports of both ends of a connection: no other open connection has the same. */
const endsOf = (socket: Socket): string =>
  `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`

/**
 * Nothing is done about an error of a socket, since "close" follows it; but an "error" without a listener ends the
 * process.
 */
const hearErrors = (source: EventEmitter): void => {
  source.on("error", nothing)
}

const nothing = (): void => {}

/** What is under way on a connection. */
interface Line {
  answering: Http.ServerResponse | undefined
  /** Requests that wait for the answer to the one before. */
  readonly queued: Array<() => void>
}

/** The connections of one listener. */
export class Connections {
  /**
   * What changes with each request is in the value. V8 lays a Map out anew when so much was added and removed; each layout
   * leads to the next, so that one which the collector has among what is old keeps alive what was in all that followed.
   */
  private readonly sockets = new Map<Socket, Line>()
  /** Those of the sockets on which nothing was asked yet, with the time of the accept. */
  private readonly fresh = new Map<Socket, number>()
  /** Connections whose TLS handshake goes on, by their ends: node does not tell which of them has become secure. */
  private readonly handshakes = new Map<string, Handshake>()
  /** Answers that are under way. */
  private answering = 0
  private acceptedSoFar = 0
  private handlers = 0
  private stopping = false
  private lastCall: NodeJS.Timeout | undefined
  private readonly waiting = new Set<() => void>()
  private readonly server: Http.Server | Https.Server

  /**
   * Takes the connections that this server accepts. A TLS handshake has `handshakeMillis` in all, however its bytes
   * come.
   */
  constructor(server: Http.Server | Https.Server, handshakeMillis: number) {
    this.server = server
    server.on("connection", () => {
      this.acceptedSoFar++
    })
    if (server instanceof Https.Server) {
      server.on("connection", (socket: Socket) => this.beginHandshake(socket, handshakeMillis))
      server.on("secureConnection", (socket) => this.accepted(socket, this.endHandshake(socket)))
    } else server.on("connection", (socket) => this.accepted(socket, Date.now()))
    // Node would answer 100 by itself, before anybody has looked at the request.
    server.on("checkContinue", (request, response) => server.emit("request", request, response))
    // Who expects something else is answered like anybody: node would refuse it, and nobody would hear of that.
    server.on("checkExpectation", (request, response) => server.emit("request", request, response))
    server.on("connect", (request) => this.answerConnect(request))
    server.emit = (event: string | symbol, ...args: Array<unknown>) => {
      const [request, response] = args
      if (event !== "request" || !(request instanceof Http.IncomingMessage))
        return EventEmitter.prototype.emit.call(server, event, ...args)
      if (response instanceof Http.ServerResponse) this.inTurn(request, response)
      return true
    }
  }

  /** A handler has begun. */
  readonly begin = (): void => {
    this.handlers++
  }

  /** A handler has ended. */
  readonly end = (): void => {
    this.handlers--
    this.changed()
  }

  /**
   * Listens no more, and closes the connections that have no answer under way. Connections that wait to be accepted and
   * requests that wait to be read are still taken: they show when the event loop comes round, so that the server listens
   * until a round brings no connection. Callers who connect again at once may keep it from that for `quietMillis`.
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
    this.until(() => this.answering === 0 && this.fresh.size === 0 && this.handshakes.size === 0)
  )

  /** Closes everything, and waits a second for it and for the handlers. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.stopping = true
    clearTimeout(this.lastCall)
    this.server.close()
    for (const socket of this.open()) socket.destroy()
    const over = this.until(() => this.handlers === 0 && this.open().length === 0)
    return Effect.asVoid(Race.atMost(over, "1 second"))
  })

  private open(): ReadonlyArray<Socket> {
    return [...this.sockets.keys(), ...Array.from(this.handshakes.values(), ({ socket }) => socket)]
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
    const timer = setTimeout(
      () => {
        if (this.handshakes.get(ends) === handshake) socket.destroy()
      },
      Math.min(within, longestTimer)
    )
    socket.once("close", () => {
      clearTimeout(timer)
      if (this.handshakes.get(ends) === handshake) this.handshakes.delete(ends)
      this.changed()
    })
  }

  /** When the connection was accepted whose handshake ended in this socket. Milliseconds since 1970. */
  private endHandshake(socket: Socket): number {
    const ends = endsOf(socket)
    const handshake = this.handshakes.get(ends)
    this.handshakes.delete(ends)
    return handshake?.since ?? Date.now()
  }

  private accepted(socket: Socket, since: number): void {
    hearErrors(socket)
    this.sockets.set(socket, { answering: undefined, queued: [] })
    this.fresh.set(socket, since)
    socket.destroySoon = lingering(socket)
    socket.once("close", () => {
      this.sockets.delete(socket)
      this.fresh.delete(socket)
      this.changed()
    })
  }

  private stopListening(): void {
    this.server.close()
    const youngest = Date.now() - firstRequestMillis
    for (const [socket, { answering: response }] of this.sockets) {
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

  /** Node gives a CONNECT to a listener of its own; it is answered like a request for a path that is not there. */
  private answerConnect(request: Http.IncomingMessage): void {
    const { socket } = request
    // Node has taken its listeners off the socket: an answer that is under way there could not go on.
    if (this.sockets.get(socket)?.answering !== undefined) {
      closeBehind(socket)
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
  private inTurn(request: Http.IncomingMessage, response: Http.ServerResponse): void {
    const { socket } = request
    this.fresh.delete(socket)
    hearErrors(response)
    // After an answer that closes the connection, requests that came behind are not answered (RFC 9112, 9.6).
    if (!socket.writable) return
    // Node takes the bytes that came together with an upgrade for the other protocol, and drops them: the client sends them
    // again on another connection.
    if (this.stopping || request.headers.upgrade !== undefined) response.setHeader("connection", "close")
    const line = this.sockets.get(socket)
    // One that is not there was closed.
    if (line === undefined) return
    if (line.answering === undefined) this.answer(line, request, response)
    else if (line.queued.length < maxPipelined) line.queued.push(() => this.answer(line, request, response))
    else closeBehind(socket)
  }

  private answer(line: Line, request: Http.IncomingMessage, response: Http.ServerResponse): void {
    const { socket } = request
    line.answering = response
    this.answering++
    if (this.stopping && !response.headersSent) response.setHeader("connection", "close")
    response.on("close", () => {
      if (line.answering !== response) return
      line.answering = undefined
      this.answering--
      const next = line.queued.shift()
      if (next !== undefined && socket.writable) return next()
      if (this.stopping) socket.destroySoon()
      this.changed()
    })
    EventEmitter.prototype.emit.call(this.server, "request", request, response)
  }

  private changed(): void {
    if (this.waiting.size > 0) for (const wake of this.waiting) wake()
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
 * Closes behind what was read before and is begun at the end of this turn of the event loop: of what is answered then, the
 * answers still go out.
 */
const closeBehind = (socket: Socket): void => {
  setImmediate(() => socket.destroy())
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
