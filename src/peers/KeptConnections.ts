/** Connections to one peer that are used again. */
import * as Http from "node:http"
import type * as Net from "node:net"
import { Duration } from "effect"
import type { PeerUnreachable } from "./PeerUnreachable.ts"

/** Takes a connection, or the reason why there is none. */
export type Connected = (error: PeerUnreachable | null, socket: Net.Socket | undefined) => void

/** Begins to make a connection, and tells what came of it: once, and later. */
export type Establish = (connected: Connected) => void

/**
 * Node's agent over connections to one peer. Idle ones are closed after a time, and used no more once they are
 * forgotten.
 */
export class KeptConnections extends Http.Agent {
  private readonly establish: Establish
  private readonly idleMillis: number
  private readonly current = new Set<Net.Socket>()
  /** Of each connection that is used again, whether somebody uses it now. */
  private readonly inUse = new WeakMap<Net.Socket, boolean>()

  constructor(idle: Duration.Duration, establish: Establish) {
    const idleMillis = Duration.toMillis(idle)
    super({ keepAlive: idleMillis > 0, timeout: idleMillis })
    this.establish = establish
    this.idleMillis = idleMillis
  }

  /** All are to one peer: to put together what else they have in common takes as long as to find one. */
  override getName(): string {
    return ""
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

  /** Closes what is free, and what is in use once it is free. */
  forget(): void {
    this.current.clear()
    for (const sockets of Object.values(this.freeSockets))
      for (const socket of [...(sockets ?? [])]) socket.destroy()
  }

  override keepSocketAlive(socket: Net.Socket): boolean {
    const kept: unknown = super.keepSocketAlive(socket)
    if (kept !== true || !this.current.has(socket)) return false
    // What comes now would be taken for the answer to what is asked next. To hear of it only now costs more than always.
    if (!this.inUse.has(socket)) socket.on("data", () => this.inUse.get(socket) || socket.destroy())
    this.inUse.set(socket, false)
    return true
  }

  override reuseSocket(socket: Net.Socket, request: Http.ClientRequest): void {
    this.inUse.set(socket, true)
    super.reuseSocket(socket, request)
  }

  override destroy(): void {
    super.destroy()
    for (const socket of this.current) socket.destroy()
  }
}
