/**
 * Whether a stored file is here with the content that somebody asks for. What is asked most often is told by a look at the
 * disk; a content that is not as it was left is read again.
 */
import { Clock, Effect, Either } from "effect"
import type * as ContentHash from "../../disk/ContentHash.ts"
import { type DiskError, type DiskService, type DiskStatus, notOfItsKind } from "../../disk/Disk.ts"
import type { FileLocks } from "../../disk/FileLocks.ts"
import type { Folders } from "../../disk/Folders.ts"
import type { HashCheck } from "../../disk/HashCheck.ts"
import * as StorageFailure from "../../disk/StorageFailure.ts"
import type { StorageError } from "../../RelayError.ts"
import * as Span from "../../Span.ts"
import { keyOf, type Location, metadataSuffix } from "../file/Location.ts"
import type { Intents } from "./Intents.ts"
import * as KnownMetadata from "./KnownMetadata.ts"

/** What is looked at. */
export interface Parts {
  readonly disk: DiskService
  readonly folders: Folders
  readonly locks: FileLocks
  readonly hashesTo: HashCheck
  readonly intents: Intents
  readonly known: KnownMetadata.KnownMetadata
}

/** Where a file's content and metadata belong, and what is there by a look at both; undefined: nothing. */
interface Seen {
  readonly path: string
  readonly content: DiskStatus | undefined
  readonly known: KnownMetadata.Known | KnownMetadata.Unread | undefined
}

/** A stored file as it is now; undefined: not even its folder is there. */
const look = (
  { disk, folders, known }: Parts,
  location: Location
): Either.Either<Seen | undefined, DiskError> =>
  Either.flatMap(folders.find(location.folders), (folder) => {
    if (folder === undefined) return noFolder
    const path = `${folder}/${location.file}`
    return Either.flatMap(disk.look(path), (content) =>
      content === undefined || content.kind === "file"
        ? Either.map(known.look(`${path}${metadataSuffix}`), (found) => ({ path, content, known: found }))
        : Either.left(notOfItsKind(path))
    )
  })

const noFolder: Either.Either<undefined> = Either.right(undefined)

/** Whether a content that was looked at is the one that is asked for; undefined: it has to be read for that. */
const vouches = (
  content: DiskStatus,
  known: KnownMetadata.Known,
  asked: ContentHash.ContentHash,
  now: number
): boolean | undefined => {
  if (known.expires !== undefined && known.expires * 1000 <= now) return false
  const isSame = known.hash.algorithm === asked.algorithm
  if (isSame && known.hash.hex !== asked.hex) return false
  return isSame && known.size === content.size && known.modified === content.modified ? true : undefined
}

/** Alone with the file: what a stop left is completed, and what a look does not tell is read. */
const hasByReading = (parts: Parts, location: Location, asked: ContentHash.ContentHash) =>
  Effect.gen(function* () {
    yield* parts.intents.complete(location)
    const seen = yield* look(parts, location)
    if (seen === undefined) return false
    const { path, content } = seen
    const known = yield* parts.known.read(`${path}${metadataSuffix}`)
    if (content === undefined || known === undefined) return false
    const vouched = vouches(content, known, asked, yield* Clock.currentTimeMillis)
    if (vouched !== undefined) return vouched
    const isSame = known.hash.algorithm === asked.algorithm
    return yield* parts.hashesTo(parts.disk.read(path), isSame ? [asked] : [asked, known.hash])
  }).pipe(Effect.catchTag("DiskError", StorageFailure.failed), parts.locks.alone(keyOf(location)))

/**
 * Whether this file is here with this content, and not expired.
 *
 * Nearly always a look is enough, and nobody is at the file: then it takes no lock and waits for nothing, since nothing
 * comes between one part of the look and the next.
 */
export const has = (
  parts: Parts,
  location: Location,
  asked: ContentHash.ContentHash
): Effect.Effect<boolean, StorageError> =>
  inSpan(
    Effect.clockWith((clock) => {
      const key = keyOf(location)
      if (parts.intents.mayBeLeft(key) || !parts.locks.isFree(key))
        return hasByReading(parts, location, asked)
      const seen = look(parts, location)
      if (Either.isLeft(seen)) return StorageFailure.failed(seen.left)
      const { content, known } = seen.right ?? {}
      if (KnownMetadata.isUnread(known)) return hasByReading(parts, location, asked)
      if (content === undefined || known === undefined) return Effect.succeed(false)
      const vouched = vouches(content, known, asked, clock.unsafeCurrentTimeMillis())
      return vouched === undefined ? hasByReading(parts, location, asked) : Effect.succeed(vouched)
    }),
    () => ({ file: keyOf(location) })
  )

const inSpan = Span.around("SharedFileStore.has")
