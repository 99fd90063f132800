/** A line to a server on this machine, which can be down. */
import { openLine } from "./Lines.ts"

export interface Line {
  readonly port: number
  /** While it is down every connection is reset, those that are there too. */
  readonly setDown: (down: boolean) => void
}

export const lineTo = async (server: number): Promise<Line> => {
  let isDown = false
  const { port, sockets } = await openLine(
    server,
    (near, far) => near.pipe(far).pipe(near),
    () => isDown
  )
  return {
    port,
    setDown: (down) => {
      isDown = down
      if (down) for (const socket of sockets) socket.resetAndDestroy()
    }
  }
}
