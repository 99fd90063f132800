/** Lines to servers on this machine: what is common to those that are down and those that break off. */
import { connect, createServer, type Server, type Socket } from "node:net"

const lines = new Map<Server, Set<Socket>>()

/** A place to connect to, and the connections that are there. `joined` is given both ends of each that comes, unless it is refused. */
export const openLine = (
  port: number,
  joined: (near: Socket, far: Socket) => void,
  isRefused: () => boolean = () => false
): Promise<{ readonly port: number; readonly sockets: ReadonlySet<Socket> }> =>
  new Promise((resolve) => {
    const sockets = new Set<Socket>()
    const server = createServer((near) => {
      if (isRefused()) {
        near.resetAndDestroy()
        return
      }
      const far = connect(port, "127.0.0.1")
      for (const [one, other] of [
        [near, far],
        [far, near]
      ] as const) {
        sockets.add(one)
        one
          .on("error", () => {})
          .once("close", () => {
            sockets.delete(one)
            other.destroy()
          })
      }
      joined(near, far)
    })
    lines.set(server, sockets)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resolve({ port: typeof address === "object" && address !== null ? address.port : 0, sockets })
    })
  })

/** Ends every line, and what goes over it. */
export const endLines = (): void => {
  for (const [server, sockets] of lines) {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  lines.clear()
}
