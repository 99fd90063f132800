/** Bodies for tests, as node streams. */
import { Readable } from "node:stream"

/** A body that comes in these pieces. */
export const bodyOf = (...pieces: ReadonlyArray<Uint8Array | string>): Readable =>
  Readable.from(
    pieces.map((piece) => Buffer.from(piece)),
    { objectMode: false }
  )

/** A body of which the sender has sent this much, and no end. */
export const beginning = (...pieces: ReadonlyArray<string>): Readable => {
  const body = new Readable({ read: () => {} })
  for (const piece of pieces) body.push(piece)
  return body
}
