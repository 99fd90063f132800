/** A server of node's on a port of the system's choice. */
import { once } from "node:events"
import { createServer, type RequestListener, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { Effect, type Scope } from "effect"

/** Listens until the scope ends, and cuts off then what is still open. */
export const listening = (listener: RequestListener): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = createServer(listener).listen(0, "127.0.0.1")
      await once(server, "listening")
      return server
    }),
    (server) => Effect.sync(() => server.close().closeAllConnections())
  )

/** Where it listens. */
export const portOf = (server: Server): number =>
  // A TCP server's address is never a path.
  (server.address() as AddressInfo).port
