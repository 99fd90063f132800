/** What is read of an entry's folder. */
import { Effect, Option } from "effect"
import { type DiskError, type DiskService, isNotOfItsKind } from "../../disk/Disk.ts"
import * as EntryRecord from "./EntryRecord.ts"

/** What was asked for; none where that can't be read as what was written. */
export const record = (
  disk: DiskService,
  folder: string
): Effect.Effect<Option.Option<EntryRecord.EntryRecord>, DiskError> =>
  read(disk, `${folder}/request`, EntryRecord.parse)

/** What was tried. Of most entries nothing was: to look is less work than to be told so by an error. */
export const attempts = (
  disk: DiskService,
  folder: string
): Effect.Effect<Option.Option<EntryRecord.Attempts>, DiskError> => {
  const path = `${folder}/attempts`
  return Effect.flatMap(disk.status(path), (found) =>
    found === undefined ? Effect.succeed(Option.none()) : read(disk, path, EntryRecord.parseAttempts)
  )
}

const read = <A>(
  disk: DiskService,
  path: string,
  parse: (text: string) => Option.Option<A>
): Effect.Effect<Option.Option<A>, DiskError> =>
  Effect.matchEffect(disk.readText(path), {
    onSuccess: (text) => Effect.succeed(text === undefined ? Option.none<A>() : parse(text)),
    // A link or a folder in the place of the file was not written by a relay, no more than a text that can't be parsed.
    onFailure: (error) => (isNotOfItsKind(error) ? Effect.succeed(Option.none<A>()) : error)
  })

/** Whether the content is there, and this long. Bytes. */
export const isWhole = (disk: DiskService, folder: string, size: number): Effect.Effect<boolean, DiskError> =>
  Effect.map(disk.status(`${folder}/content`), (found) => found?.kind === "file" && found.size === size)

/** The content that is in one piece; undefined: it is none, or too long for that. */
export const smallContent = (
  disk: DiskService,
  folder: string
): Effect.Effect<Uint8Array | undefined, DiskError> =>
  Effect.catchAll(disk.readSmall(`${folder}/content`), (error) =>
    isNotOfItsKind(error) || error.code === "EFBIG" ? Effect.succeed(undefined) : error
  )
