/**
 * What the metadata of stored files say, as far as a check needs it: kept from the last time that they were read, and true
 * as long as a look at the file finds it unchanged.
 */
import { Clock, Effect, Option } from "effect"
import type * as ContentHash from "../../disk/ContentHash.ts"
import type { DiskError, DiskService, DiskStatus } from "../../disk/Disk.ts"
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

/** Reads a metadata file where it is not known; undefined: there is none, or it can't be read as one. */
export type KnownMetadata = (path: string) => Effect.Effect<Known | undefined, DiskError>

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

  return (path) =>
    Effect.flatMap(disk.status(path), (status) => {
      if (status === undefined) {
        seen.delete(path)
        return Effect.succeed(undefined)
      }
      const found = seen.get(path)
      return found !== undefined && isSame(found.status, status)
        ? Effect.succeed(found.known)
        : read(path, status)
    })
}
