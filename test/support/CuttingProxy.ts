/** A proxy that cuts connections: of the answer on the n-th one it lets through so many bytes. */
import { createConnection, createServer } from "node:net"
import { Effect } from "effect"

/** Where it listens, and how often it has cut. */
export interface CuttingProxy {
  readonly port: number
  readonly cuts: () => number
}

/**
 * Before a server on this port of 127.0.0.1.
 *
 * @param lets bytes of the answer on a connection, the first being 1; undefined: all
 */
export const cuttingProxy = (to: number, lets: (connection: number) => number | undefined) =>
  Effect.gen(function* () {
    let connections = 0
    let cuts = 0
    const server = createServer((client) => {
      let left = lets(++connections) ?? Number.POSITIVE_INFINITY
      const relay = createConnection(to, "127.0.0.1")
      const end = () => {
        client.destroy()
        relay.destroy()
      }
      for (const socket of [client, relay]) socket.on("error", end).on("close", end)
      client.pipe(relay)
      relay.on("data", (bytes) => {
        const last = bytes.length >= left
        client.write(bytes.subarray(0, left), () => {
          if (!last) return
          cuts++
          end()
        })
        left -= bytes.length
        if (last) relay.pause()
      })
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () => Effect.sync(() => server.close())
    )
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    return { port, cuts: () => cuts } satisfies CuttingProxy
  })
