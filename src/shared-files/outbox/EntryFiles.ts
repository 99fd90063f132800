/** What is read of an entry: of its file, and of what stands beside that. */
import { Effect, Option } from "effect"
import { DiskError, type DiskService, isNotOfItsKind } from "../../disk/Disk.ts"
import * as EntryFolders from "./EntryFolders.ts"
import * as EntryRecord from "./EntryRecord.ts"
import * as EntryTail from "./EntryTail.ts"
import { damaged, type LoadedEntry } from "./Spool.ts"

/** Where an entry is. */
export interface EntryPlace {
  readonly path: string
  /** Where it stands what was tried. */
  readonly attempts: string
  /** Of the content. Bytes. */
  readonly size: number
  /** It is a folder, as older relays made them. */
  readonly isFolder: boolean
}

/** A content of so many bytes is written by its commit, in one piece, and read in one. */
export const mostHeld = 64 * 1024

/** Of nearly all tails this is enough. Bytes. */
const usualTail = 4096

/** What was asked for; none where that can't be read as what was written. */
export const record = (
  disk: DiskService,
  place: EntryPlace
): Effect.Effect<Option.Option<EntryRecord.EntryRecord>, DiskError> =>
  place.isFolder
    ? EntryFolders.record(disk, place.path)
    : Effect.map(tailOf(disk, place, usualTail), (tail) =>
        tail === undefined ? Option.none() : EntryTail.recordOf(tail)
      )

/** The tail of an entry's file; undefined where that is not as it was written. @param most bytes that are read at first */
const tailOf = (
  disk: DiskService,
  place: EntryPlace,
  most: number
): Effect.Effect<EntryTail.EntryTail | undefined, DiskError> =>
  Effect.flatMap(unlessForeign(disk.readEnd(place.path, most)), (end) => {
    if (end === undefined) return Effect.succeed(undefined)
    const length = EntryTail.lengthOf(end.bytes) ?? 0
    return length > most && length <= end.length
      ? tailOf(disk, place, length)
      : Effect.succeed(EntryTail.parse(end, place.size))
  })

/** A link or a folder in the place of the file was not written by a relay, no more than what is too long for it. */
const isForeign = (error: DiskError): boolean => isNotOfItsKind(error) || error.code === "EFBIG"

const unlessForeign = <A>(read: Effect.Effect<A | undefined, DiskError>) =>
  Effect.catchIf(read, isForeign, () => Effect.succeed(undefined))

/** An entry as it is to be sent. */
export const load = (disk: DiskService, place: EntryPlace): Effect.Effect<LoadedEntry, DiskError> => {
  if (place.isFolder) return EntryFolders.load(disk, place.path, place.size, mostHeld)
  return place.size > mostHeld
    ? Effect.map(tailOf(disk, place, usualTail), (tail) =>
        tail === undefined ? damaged : { record: EntryTail.recordOf(tail), isWhole: true, bytes: undefined }
      )
    : Effect.matchEffect(disk.readSmall(place.path), {
        onFailure: (error) => (isForeign(error) ? Effect.succeed(damaged) : error),
        onSuccess: (all) => Effect.succeed(wholeOf(place, all))
      })
}

/** The same of all that the file has. */
const wholeOf = ({ size }: EntryPlace, all: Uint8Array | undefined): LoadedEntry => {
  const tail = all === undefined ? undefined : EntryTail.parse({ bytes: all, length: all.length }, size)
  if (all === undefined || tail === undefined) return damaged
  const bytes = all.subarray(0, size)
  return { record: EntryTail.recordOf(tail), isWhole: EntryTail.isOf(tail, EntryTail.check(bytes)), bytes }
}

/** The content, piece by piece; all of it only where it is as it was written. Throws a `DiskError`, `EFTYPE` where it is not. */
export const content = (disk: DiskService, place: EntryPlace): AsyncIterable<Uint8Array> =>
  place.isFolder ? EntryFolders.content(disk, place.path) : checked(disk.read(place.path), place)

async function* checked(
  pieces: AsyncIterable<Uint8Array>,
  { path, size }: EntryPlace
): AsyncGenerator<Uint8Array> {
  let length = 0
  let sum = 0
  let last: Buffer | undefined
  const end: Array<Buffer> = []
  for await (const piece of pieces) {
    const content = piece.subarray(0, Math.max(0, size - length))
    sum = EntryTail.check(content, sum)
    length += piece.length
    if (length < size) yield content
    else {
      // What ends the content is not given before the file's end is known.
      last ??= Buffer.from(content)
      end.push(Buffer.from(piece.subarray(content.length)))
    }
    if (length > size + longestTail) break
  }
  const tail = EntryTail.parse({ bytes: Buffer.concat(end), length }, size)
  if (last === undefined || tail === undefined || !EntryTail.isOf(tail, sum))
    throw new DiskError({ message: `${path} is not what was written`, code: "EFTYPE" })
  yield last
}

/** No tail of ours is longer. Bytes. */
const longestTail = 1 << 20

/** What was tried. Of most entries nothing was: to look is less work than to be told so by an error. */
export const attempts = (
  disk: DiskService,
  { attempts: path }: EntryPlace
): Effect.Effect<Option.Option<EntryRecord.Attempts>, DiskError> =>
  Effect.flatMap(disk.status(path), (found) =>
    found === undefined
      ? Effect.succeed(Option.none())
      : Effect.map(unlessForeign(disk.readText(path)), (text) =>
          text === undefined ? Option.none() : EntryRecord.parseAttempts(text)
        )
  )
