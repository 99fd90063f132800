/** A port that leads to a relay, or to nobody: it stays the same while what is behind it is stopped and started. */
import * as Net from "node:net"

export interface Wire {
  readonly port: number
  /** Leads there from now on, or to nobody; what is connected is cut. */
  readonly lead: (port: number | undefined) => void
  /**
   * The next connection that has carried so many bytes to who is called carries no more of them. Resolves when it
   * stands still; it lasts until one of both sides is gone.
   */
  readonly hold: (bytes: number) => Promise<void>
}

interface Hold {
  readonly bytes: number
  readonly reached: () => void
}

const wires = new Set<{ readonly server: Net.Server; readonly sockets: Set<Net.Socket> }>()

export const openWire = async (): Promise<Wire> => {
  let behind: number | undefined
  let hold: Hold | undefined
  const sockets = new Set<Net.Socket>()
  const keep = (socket: Net.Socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    socket.once("close", () => sockets.delete(socket))
  }
  const server = Net.createServer((caller) => {
    keep(caller)
    if (behind === undefined) {
      caller.resetAndDestroy()
      return
    }
    const called = Net.connect(behind, "127.0.0.1")
    keep(called)
    caller.once("close", () => called.destroy())
    called.once("close", () => caller.destroy())
    called.pipe(caller)
    let carried = 0
    caller.on("data", (bytes) => {
      carried += bytes.length
      called.write(bytes)
      if (hold === undefined || carried < hold.bytes) return
      const { reached } = hold
      hold = undefined
      caller.pause()
      reached()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  wires.add({ server, sockets })
  const address = server.address()
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    lead: (port) => {
      behind = port
      for (const socket of sockets) socket.destroy()
    },
    hold: (bytes) =>
      new Promise((reached) => {
        hold = { bytes, reached }
      })
  }
}

export const closeWires = (): void => {
  for (const { server, sockets } of wires) {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  wires.clear()
}
