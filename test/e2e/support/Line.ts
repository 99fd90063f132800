/** A line to a server on this machine, which can be down. */
import { connect, createServer, type Server, type Socket } from "node:net"

export interface Line {
  readonly port: number
  /** While it is down every connection is reset, those that are there too. */
  readonly setDown: (down: boolean) => void
}

const lines = new Map<Server, Set<Socket>>()

export const lineTo = (port: number): Promise<Line> =>
  new Promise((resolve) => {
    let isDown = false
    const sockets = new Set<Socket>()
    const server = createServer((near) => {
      if (isDown) {
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
        one.pipe(other)
      }
    })
    lines.set(server, sockets)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resolve({
        port: typeof address === "object" && address !== null ? address.port : 0,
        setDown: (down) => {
          isDown = down
          if (down) for (const socket of sockets) socket.resetAndDestroy()
        }
      })
    })
  })

export const endLines = (): void => {
  for (const [server, sockets] of lines) {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  lines.clear()
}
