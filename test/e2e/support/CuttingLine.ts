/** A line to a server on this machine that breaks off again and again. */
import { openLine } from "./Lines.ts"

export interface CuttingLine {
  readonly port: number
  /** How often it broke off. */
  readonly cuts: () => number
}

/**
 * Each connection breaks off when so many bytes have come from the server, in the middle of whatever they are: every third by
 * a reset. `bytesOf` is told its number, from 0 on, and gives undefined for one that holds.
 */
export const cuttingLine = async (
  server: number,
  bytesOf: (connection: number) => number | undefined
): Promise<CuttingLine> => {
  let connections = 0
  let cuts = 0
  const { port } = await openLine(server, (near, far) => {
    const connection = connections++
    let left = bytesOf(connection) ?? Number.POSITIVE_INFINITY
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
  return { port, cuts: () => cuts }
}
