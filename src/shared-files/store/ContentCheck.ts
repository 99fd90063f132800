/**
 * Whether a stored file is here with the content that somebody asks for. What is asked most often is told by a look at the
 * disk; a content that is not as it was left is read again.
 */
import { Clock, Effect, Either } from "effect"
import type * as ContentHash from "../../disk/ContentHash.ts"
import { type DiskError, type DiskService, type DiskStatus, isAbsent, notOfItsKind } from "../../disk/Disk.ts"
import type { FileLocks } from "../../disk/FileLocks.ts"
import type { Folders } from "../../disk/Folders.ts"
import type { HashCheck } from "../../disk/HashCheck.ts"
import type { Looks } from "../../disk/Looks.ts"
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

/** Looks at a stored file each time that it is called; undefined: not even its folder is there. */
const looker = (
  { disk, folders, known }: Parts,
  location: Location
): ((looks?: Looks) => Either.Either<Seen | undefined, DiskError>) => {
  const find = folders.finder(location.folders)
  const path = `${folders.pathOf(location.folders)}/${location.file}`
  const metadata = `${path}${metadataSuffix}`
  return (looks) => {
    const folder = find(looks)
    if (Either.isLeft(folder)) return Either.left(folder.left)
    if (folder.right === undefined) return noFolder
    const content = looks === undefined ? disk.look(path) : looks.look(path)
    if (Either.isLeft(content)) return Either.left(content.left)
    if (content.right !== undefined && content.right.kind !== "file") return Either.left(notOfItsKind(path))
    const found = known.look(metadata, looks)
    return Either.isLeft(found)
      ? Either.left(found.left)
      : Either.right({ path, content: content.right, known: found.right })
  }
}

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
    const seen = yield* looker(parts, location)()
    if (seen === undefined) return false
    const { path, content } = seen
    const known = yield* parts.known.read(`${path}${metadataSuffix}`)
    if (content === undefined || known === undefined) return false
    const vouched = vouches(content, known, asked, yield* Clock.currentTimeMillis)
    if (vouched !== undefined) return vouched
    const isSame = known.hash.algorithm === asked.algorithm
    return yield* Effect.catchIf(
      parts.hashesTo(parts.disk.read(path), isSame ? [asked] : [asked, known.hash]),
      isAbsent,
      // Somebody else has removed it meanwhile.
      () => Effect.succeed(false)
    )
  }).pipe(Effect.catchTag("DiskError", StorageFailure.failed), parts.locks.alone(keyOf(location)))

/**
 * Whether this file is here with this content, and not expired, each time that what this gives is called; undefined: a look
 * at the disk does not tell.
 *
 * Nearly always it does, and nobody is at the file: then it takes no lock and waits for nothing, since nothing comes
 * between one part of the look and the next.
 *
 * @returns is given the time: milliseconds since 1970
 */
export const lookAt = (
  parts: Parts,
  location: Location,
  asked: ContentHash.ContentHash
): ((now: number, looks?: Looks) => boolean | undefined) => {
  const key = () => keyOf(location)
  const look = looker(parts, location)
  return (now, looks) => {
    if (parts.intents.mayBeLeft(key) || !parts.locks.isFree(key)) return undefined
    const seen = look(looks)
    // What is wrong with it, who looks again says.
    if (Either.isLeft(seen)) return undefined
    if (seen.right === undefined) return false
    const { content, known } = seen.right
    if (KnownMetadata.isUnread(known)) return undefined
    return content === undefined || known === undefined ? false : vouches(content, known, asked, now)
  }
}

/** The same, by reading the content where a look is not enough. */
export const has = (
  parts: Parts,
  location: Location,
  asked: ContentHash.ContentHash
): Effect.Effect<boolean, StorageError> =>
  inSpan(
    Effect.clockWith((clock) => {
      const known = lookAt(parts, location, asked)(clock.unsafeCurrentTimeMillis())
      return known === undefined ? hasByReading(parts, location, asked) : Effect.succeed(known)
    }),
    () => ({ file: keyOf(location) })
  )

const inSpan = Span.around("SharedFileStore.has")
