/** A server of raw bytes on a port that the system chose: what it does with each connection is told. Ends with the scope. */
import * as Net from "node:net"
import * as Tls from "node:tls"
import { Duration, Effect, Fiber, Option, TestClock } from "effect"
import * as EventLoop from "../../src/EventLoop.ts"
import { holds } from "./Until.ts"

export interface RawServer {
  readonly port: number
  /** How many connections were accepted, or, with TLS, shaken hands on. */
  readonly connections: () => number
}

/** @param credentials with them it speaks TLS */
export const rawServer = (
  connection: (socket: Net.Socket, count: number) => void,
  credentials?: { readonly cert: string; readonly key: string }
) =>
  Effect.acquireRelease(
    Effect.async<RawServer & { readonly end: Effect.Effect<void> }>((resume) => {
      const sockets = new Set<Net.Socket>()
      let count = 0
      const accept = (socket: Net.Socket) => {
        connection(socket, ++count)
      }
      const server =
        credentials === undefined ? Net.createServer(accept) : Tls.createServer(credentials, accept)
      server.on("connection", (socket: Net.Socket) => {
        sockets.add(socket)
        socket.on("error", () => {}).once("close", () => sockets.delete(socket))
      })
      server.on("secureConnection", (socket: Net.Socket) => socket.on("error", () => {}))
      server.on("tlsClientError", () => {})
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(
          Effect.succeed({
            port: typeof address === "object" && address !== null ? address.port : 0,
            connections: () => count,
            end: Effect.async<void>((ended) => {
              for (const socket of sockets) socket.destroy()
              server.close(() => ended(Effect.void))
            })
          })
        )
      })
    }),
    ({ end }) => end
  )

/** Calls `act` again and again, as long as a connection is open. */
export const whileOpen = (socket: Net.Socket, act: () => void, everyMillis = 10): void => {
  const timer = setInterval(act, everyMillis)
  socket.once("close", () => clearInterval(timer))
}

/**
 * What comes of an exchange with a peer that may be silent for ever: time goes by until it is over, in quarters of the
 * patience, and before each of them what is on its way between the two has come.
 */
export const outwaited = <A, E, R>(
  exchange: Effect.Effect<A, E, R>,
  patience: Duration.Duration,
  isBegun = (): boolean => true
): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const waiting = yield* Effect.fork(exchange)
    const isOver = Effect.map(Fiber.poll(waiting), Option.isSome)
    // What is refused at once may be over before the peer knows of it.
    yield* holds(
      "the exchange has begun",
      Effect.map(isOver, (over) => over || isBegun())
    )
    while (!(yield* isOver)) {
      yield* Effect.repeatN(EventLoop.turn, 20)
      yield* TestClock.adjust(Duration.times(patience, 1 / 4))
    }
    return yield* Fiber.join(waiting)
  })
