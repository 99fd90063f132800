/** Random access to the records of a journal through one buffer, so that a reader costs the same for any journal. */
import { FileSystem } from "@effect/platform"
import { Effect, Scope } from "effect"
import { StorageError } from "../../RelayError.ts"
import {
  decodeHeader,
  decodeRecord,
  headerLength,
  type JournalRecord,
  type RecordHeader
} from "./JournalRecord.ts"
import type { JournalSource } from "./RunJournal.ts"

const windowLength = 64 * 1024

export interface JournalWindow {
  /** The record at this offset, if it is in the buffer. Valid until the next `load`. */
  readonly record: (offset: number) => JournalRecord | undefined
  /** The header of the record at this offset, if it is in the buffer. */
  readonly header: (offset: number) => RecordHeader | undefined
  /** Brings the record at this offset into the buffer. */
  readonly load: (offset: number) => Effect.Effect<void, StorageError>
}

const damaged = (source: JournalSource) =>
  new StorageError({ message: `${source.paths().join(" or ")} is damaged` })

/** Opens the journal's file for as long as the scope lasts; it may move to its final place meanwhile. */
export const open = (
  source: JournalSource
): Effect.Effect<JournalWindow, StorageError, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    let buffer = Buffer.allocUnsafe(windowLength)
    let at = 0
    let filled = 0
    const scope = yield* Effect.scope
    const file = yield* Effect.suspend(() =>
      Effect.firstSuccessOf(source.paths().map((path) => fs.open(path, { flag: "r" })))
    ).pipe(
      Scope.extend(scope),
      Effect.mapError((cause) => new StorageError({ message: cause.message })),
      Effect.cached
    )

    const fill = (offset: number, length: number) =>
      Effect.gen(function* () {
        if (buffer.length < length || (buffer.length > windowLength && length <= windowLength))
          buffer = Buffer.allocUnsafe(Math.max(length, windowLength))
        at = offset
        filled = 0
        const memory = source.unwritten(offset)
        if (memory !== undefined) {
          filled = memory.copy(buffer, 0)
          return
        }
        const opened = yield* file
        yield* opened.seek(offset, "start")
        while (filled < length) {
          const read = Number(
            yield* opened
              .read(buffer.subarray(filled))
              .pipe(Effect.mapError((cause) => new StorageError({ message: cause.message })))
          )
          if (read === 0) return yield* Effect.fail(damaged(source))
          filled += read
        }
        // What lies behind is still being written.
        filled = Math.min(filled, source.length() - offset)
      })

    const header = (offset: number) =>
      offset < at ? undefined : decodeHeader(buffer.subarray(0, filled), offset - at)

    return {
      record: (offset) => (offset < at ? undefined : decodeRecord(buffer.subarray(0, filled), offset - at)),
      header,
      load: (offset) =>
        Effect.gen(function* () {
          yield* fill(offset, headerLength)
          const found = header(offset)
          if (found === undefined) return yield* Effect.fail(damaged(source))
          const needed = headerLength + found.nodeLength + found.payloadLength
          if (needed > filled) yield* fill(offset, needed)
        })
    }
  })
