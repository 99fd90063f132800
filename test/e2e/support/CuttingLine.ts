/** A line to a server on this machine that breaks off again and again. */
import { connect, createServer, type Server, type Socket } from "node:net"

export interface CuttingLine {
  readonly port: number
  /** How often it broke off. */
  readonly cuts: () => number
}

const lines = new Map<Server, Set<Socket>>()

/**
 * Each connection breaks off when so many bytes have come from the server, in the middle of whatever they are: every third by
 * a reset. `bytesOf` is told its number, from 0 on, and gives undefined for one that holds.
 */
export const cuttingLine = (
  port: number,
  bytesOf: (connection: number) => number | undefined
): Promise<CuttingLine> =>
  new Promise((resolve) => {
    let connections = 0
    let cuts = 0
    const sockets = new Set<Socket>()
    const server = createServer((near) => {
      const connection = connections++
      let left = bytesOf(connection) ?? Number.POSITIVE_INFINITY
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
      near.pipe(far)
      far.on("data", (bytes: Buffer) => {
        if (left <= 0) return
        const part = bytes.subarray(0, left)
        left -= part.length
        if (left > 0) {
          if (!near.write(part)) far.pause()
          return
        }
        cuts++
        // A reset overtakes what was sent before it and not read yet: of a line that only resets, nothing may arrive.
        if (connection % 3 === 2) near.write(part, () => near.resetAndDestroy())
        else near.end(part)
        far.destroy()
      })
      near.on("drain", () => far.resume())
      far.on("end", () => near.end())
    })
    lines.set(server, sockets)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resolve({
        port: typeof address === "object" && address !== null ? address.port : 0,
        cuts: () => cuts
      })
    })
  })

export const endCuttingLines = (): void => {
  for (const [server, sockets] of lines) {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  lines.clear()
}
