/** Random access to the records of a journal through one buffer, so that a reader costs the same for any journal. */
import { FileSystem } from "@effect/platform"
import { Effect, Scope } from "effect"
import { storageError } from "../../disk/StorageFailure.ts"
import { StorageError } from "../../RelayError.ts"
import {
  decodeHeader,
  decodeRecord,
  headerLength,
  type JournalRecord,
  type RecordHeader,
  recordLength
} from "./JournalRecord.ts"
import type { JournalPart, JournalSource } from "./JournalSource.ts"

/** The largest record of output, as an agent's pipe gives it, with its header and its node's id. Bytes. */
export const windowLength = 64 * 1024 + 512

/** A stretch of a journal in memory. Offsets are bytes from the journal's beginning. */
export interface JournalWindow {
  /** The record at this offset, if it is in the buffer. Valid until the next `load`. */
  readonly record: (offset: number) => JournalRecord | undefined
  /** The header of the record at this offset, if it is in the buffer. */
  readonly header: (offset: number) => RecordHeader | undefined
  /** Brings the record at this offset into the buffer. */
  readonly load: (offset: number) => Effect.Effect<void, StorageError>
  /** The same; false where no whole record of ours begins, which is not a failure of the disk. */
  readonly find: (offset: number) => Effect.Effect<boolean, StorageError>
}

/** A journal can't be read on at an offset, though the disk does what it should. @param how what is wrong there */
export const damaged = (
  source: JournalSource,
  offset: number,
  how = `no whole record is at byte ${offset}`
): StorageError => {
  const { paths } = source.partAt(offset)
  return new StorageError({
    message: `${paths.join(" or ") || "a temporary file"} is damaged: ${how}`,
    ...(source.run === undefined ? {} : { run: source.run })
  })
}

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
    /** The one file of a journal that has a name. */
    let named: FileSystem.File | undefined
    const openNamed = (paths: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        named ??= yield* Effect.firstSuccessOf(paths.map((path) => fs.open(path, { flag: "r" }))).pipe(
          Scope.extend(scope)
        )
        return named
      })

    /** Makes the buffer large enough, and takes into it what is in memory. */
    const fillFromMemory = (offset: number, length: number): void => {
      if (buffer.length < length || (buffer.length > windowLength && length <= windowLength))
        buffer = Buffer.allocUnsafe(Math.max(length, windowLength))
      at = offset
      filled = 0
      while (filled < buffer.length) {
        const memory = source.unwritten(offset + filled) ?? source.recent(offset + filled)
        if (memory === undefined || memory.length === 0) return
        filled += memory.copy(buffer, filled)
      }
    }

    /** Without an effect for who keeps up with the journal, as most do: what it reads is in memory, and reaches it 5 % sooner. */
    const isInMemory = (offset: number): boolean => {
      if (offset + headerLength > source.length()) return false
      fillFromMemory(offset, headerLength)
      const found = header(offset)
      return found !== undefined && recordLength(found) <= filled
    }

    const read = (part: JournalPart, offset: number, into: Uint8Array) =>
      Effect.gen(function* () {
        if (part.paths.length === 0) return yield* part.read(offset, into)
        const file = yield* openNamed(part.paths)
        yield* file.seek(offset, "start")
        return Number(yield* file.read(into))
      }).pipe(Effect.mapError(storageError))

    /** False: so much is not there. */
    const fill = (offset: number, length: number) =>
      Effect.gen(function* () {
        if (offset + length > source.length()) return false
        fillFromMemory(offset, length)
        while (filled < length) {
          const part = source.partAt(offset + filled)
          // What follows this part is still being written, or is in another file.
          const most = Math.min(buffer.length, part.to - offset)
          if (most <= filled) return false
          const count = yield* read(part, offset + filled, buffer.subarray(filled, most))
          if (count === 0) return false
          if (count > 0) filled += count
        }
        return true
      })

    const header = (offset: number) =>
      offset < at ? undefined : decodeHeader(buffer.subarray(0, filled), offset - at)

    const find = (offset: number) =>
      Effect.gen(function* () {
        if (!(yield* fill(offset, headerLength))) return false
        const found = header(offset)
        if (found === undefined) return false
        const needed = recordLength(found)
        return needed <= filled || (yield* fill(offset, needed))
      })

    return {
      record: (offset) => (offset < at ? undefined : decodeRecord(buffer.subarray(0, filled), offset - at)),
      header,
      find,
      load: (offset) =>
        Effect.suspend(() =>
          isInMemory(offset)
            ? Effect.void
            : Effect.filterOrFail(find(offset), Boolean, () => damaged(source, offset))
        )
    }
  })
