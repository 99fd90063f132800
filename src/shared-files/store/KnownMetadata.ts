/**
 * What the metadata of stored files say, as far as a check needs it: kept from the last time that they were read, and true
 * as long as a look at the file finds it unchanged.
 */
import { Clock, Effect, Either, Option } from "effect"
import type * as ContentHash from "../../disk/ContentHash.ts"
import type { DiskError, DiskService, DiskStatus } from "../../disk/Disk.ts"
import type { Looks } from "../../disk/Looks.ts"
import * as Metadata from "../file/Metadata.ts"

/** What makes a stored content the one that was accepted. */
export interface Known {
  readonly hash: ContentHash.ContentHash
  /** Bytes; none where an older relay stored the file. */
  readonly size: number | undefined
  /** The content's modification time, milliseconds since 1970; likewise. */
  readonly modified: number | undefined
  /** Unix time; undefined: never. */
  readonly expires: number | undefined
}

/** A metadata file that is there, and that nothing is known of. */
export interface Unread {
  readonly _tag: "Unread"
  readonly status: DiskStatus
}

/** What metadata files say; undefined: there is none, or it can't be read as one. */
export interface KnownMetadata {
  /** By no more than a look at the file: one of these, or one of its own, now. */
  readonly look: (path: string, looks?: Looks) => Either.Either<Known | Unread | undefined, DiskError>
  /** By reading it, where that is needed. */
  readonly read: (path: string) => Effect.Effect<Known | undefined, DiskError>
}

/** Whether it has to be read. */
export const isUnread = (found: Known | Unread | undefined): found is Unread =>
  found !== undefined && "_tag" in found

/** Past so many files, which take some megabytes, all are read again. */
const most = 10_000

/**
 * The system tells the time of a change by a clock that stands still for some milliseconds: of a file that changed just now
 * it could not be told that it changed again.
 */
const settledMillis = 1000

const isSame = (one: DiskStatus, other: DiskStatus): boolean =>
  one.inode === other.inode &&
  one.changed === other.changed &&
  one.modified === other.modified &&
  one.size === other.size

const knownOf = (metadata: Metadata.Metadata): Known => ({
  hash: metadata.hash,
  size: Option.getOrUndefined(metadata.size),
  modified: Option.getOrUndefined(Metadata.dateOf(metadata)),
  expires: Option.getOrUndefined(metadata.expires)
})

/** Nothing is known yet. */
export const make = (disk: DiskService): KnownMetadata => {
  const seen = new Map<string, { readonly status: DiskStatus; readonly known: Known | undefined }>()

  const read = (path: string, status: DiskStatus) =>
    Effect.zipWith(disk.readText(path), Clock.currentTimeMillis, (text, now) => {
      const metadata = text === undefined ? Option.none() : Metadata.parse(text)
      const known = Option.getOrUndefined(Option.map(metadata, knownOf))
      if (now - status.changed > settledMillis) {
        if (seen.size >= most) seen.clear()
        seen.set(path, { status, known })
      }
      return known
    })

  const look: KnownMetadata["look"] = (path, looks) => {
    const now = looks === undefined ? disk.look(path) : looks.look(path)
    if (Either.isLeft(now)) return Either.left(now.left)
    const status = now.right
    const found = seen.get(path)
    if (status === undefined) {
      if (found !== undefined) seen.delete(path)
      return Either.right(undefined)
    }
    return Either.right(
      found !== undefined && isSame(found.status, status) ? found.known : { _tag: "Unread", status }
    )
  }

  return {
    look,
    read: (path) =>
      Effect.flatMap(
        Effect.suspend(() => look(path)),
        (found) => (isUnread(found) ? read(path, found.status) : Effect.succeed(found))
      )
  }
}
