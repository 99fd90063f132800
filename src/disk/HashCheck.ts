/** Whether a stored content has the hashes that somebody asks for: it is read for that, and only so many at once are. */
import { createHash } from "node:crypto"
import { Effect } from "effect"
import * as Permits from "../Permits.ts"
import type * as ContentHash from "./ContentHash.ts"
import { type DiskError, diskError } from "./Disk.ts"

/** Whether a content has all of these hashes. */
export type HashCheck = (
  content: AsyncIterable<Uint8Array>,
  hashes: ReadonlyArray<ContentHash.ContentHash>
) => Effect.Effect<boolean, DiskError>

/** More contents than this are not read at once. */
const most = 2

/** A check that has its own bound on how much is read at once. */
export const make = (): HashCheck => {
  const reading = Permits.make(most)
  return (content, hashes) =>
    Effect.suspend(() => {
      const made = hashes.map(({ algorithm, hex }) => ({ hash: createHash(algorithm), hex }))
      return Effect.map(
        readThrough(content, (piece) => {
          for (const { hash } of made) hash.update(piece)
        }),
        () => made.every(({ hash, hex }) => hash.digest("hex") === hex)
      )
    }).pipe(reading)
}

/** An interruption waits for the piece that is being read, and until the file is closed: only then may the next in line read. */
const readThrough = (content: AsyncIterable<Uint8Array>, onPiece: (piece: Uint8Array) => void) =>
  Effect.async<void, DiskError>((resume) => {
    let isWanted = true
    const read = async () => {
      for await (const piece of content) {
        if (!isWanted) return
        onPiece(piece)
      }
    }
    const ended = read().then(
      () => resume(Effect.void),
      (cause: unknown) => resume(Effect.fail(diskError(cause)))
    )
    return Effect.promise(() => {
      isWanted = false
      return ended
    })
  })
