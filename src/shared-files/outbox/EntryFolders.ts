/** What is read of an entry that an older relay made: a folder with its `content` and the `request`. */
import { Effect, Option } from "effect"
import { type DiskError, type DiskService, isNotOfItsKind } from "../../disk/Disk.ts"
import * as EntryRecord from "./EntryRecord.ts"
import type { LoadedEntry } from "./Spool.ts"

/** What was asked for; none where that can't be read as what was written. */
export const record = (
  disk: DiskService,
  folder: string
): Effect.Effect<Option.Option<EntryRecord.EntryRecord>, DiskError> =>
  Effect.matchEffect(disk.readText(`${folder}/request`), {
    onSuccess: (text) => Effect.succeed(text === undefined ? Option.none() : EntryRecord.parse(text)),
    // A link or a folder in the place of the file was not written by a relay, no more than a text that can't be parsed.
    onFailure: (error) => (isNotOfItsKind(error) ? Effect.succeed(Option.none()) : error)
  })

/** The same, and what is known of the content. @param mostHeld a content of so many bytes is read in one piece */
export const load = (
  disk: DiskService,
  folder: string,
  size: number,
  mostHeld: number
): Effect.Effect<LoadedEntry, DiskError> =>
  Effect.zipWith(
    record(disk, folder),
    size > mostHeld ? Effect.succeed(undefined) : smallContent(disk, folder),
    (record, bytes): Effect.Effect<LoadedEntry, DiskError> =>
      bytes === undefined
        ? Effect.map(disk.status(`${folder}/content`), (found) => ({
            record,
            isWhole: found?.kind === "file" && found.size === size,
            bytes
          }))
        : Effect.succeed({ record, isWhole: bytes.length === size, bytes })
  ).pipe(Effect.flatten)

/** The content in one piece; undefined: it is none, or too long for that. */
const smallContent = (disk: DiskService, folder: string): Effect.Effect<Uint8Array | undefined, DiskError> =>
  Effect.catchAll(disk.readSmall(`${folder}/content`), (error) =>
    isNotOfItsKind(error) || error.code === "EFBIG" ? Effect.succeed(undefined) : error
  )

/** The content, piece by piece. Throws a `DiskError`. */
export const content = (disk: DiskService, folder: string): AsyncIterable<Uint8Array> =>
  disk.read(`${folder}/content`)
