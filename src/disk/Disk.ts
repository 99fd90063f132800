/** The few operations that a commit to disk is made of: a port, which `NodeDisk` implements over node's file system. */
import { Context, Data, type Effect, type Either } from "effect"

/** What the disk says when it does not do it; `code` is the system's, such as `ENOSPC`. */
export class DiskError extends Data.TaggedError("DiskError")<{
  readonly message: string
  readonly code: string | undefined
}> {}

/** What a folder has under a name. */
export interface DiskEntry {
  readonly name: string
  readonly kind: "file" | "folder" | "other"
}

/** What there is at a path. */
export interface DiskStatus {
  /** Not following a link. */
  readonly kind: "file" | "folder" | "link" | "other"
  readonly size: number
  /** Milliseconds since 1970. */
  readonly modified: number
  /** Which file it is: another one in its place has another number. */
  readonly inode: number
  /** When it last changed in any way, by the system's own clock: milliseconds since 1970, and parts of them. */
  readonly changed: number
}

/** The end of a file. */
export interface FileEnd {
  readonly bytes: Uint8Array
  /** Of all of the file. Bytes. */
  readonly length: number
}

/** A file that is being written. */
export interface DiskFile {
  /** Appends all of these bytes, which may be overwritten afterwards. */
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, DiskError>
  /** Content, size and modification time (milliseconds since 1970) are on the disk afterwards. */
  readonly sync: (modified: number) => Effect.Effect<void, DiskError>
  /** Waits for what is under way. A failure is not told: what counts was synced before. */
  readonly close: Effect.Effect<void>
}

/**
 * A step of a commit.
 *
 * - `Write`: a new file, with this mode whatever the umask, of these bytes, or of this text, and this modification time
 *   (milliseconds since 1970); on the disk afterwards. Without a time: on the disk when the system likes.
 * - `Note`: these bytes, or this text, in a file that others write to as well, at this place in bytes and over what is
 *   there, with zeros behind them up to this length in bytes; the file is made where it is missing. On the disk afterwards,
 *   if its name is.
 * - `CheckFile`: what is there, if anything is, is a file; else `EFTYPE`.
 * - `MakeFolder`, `Rename`, `SyncFolder`, `Remove`: as the operations of these names; but what is in the place of a folder,
 *   be it a link to one, is `EFTYPE`.
 * - `Discard`, `DiscardFolder`: removes a file, or a folder of files; where that fails, nothing is lost.
 */
export type DiskStep =
  | {
      readonly _tag: "Write"
      readonly path: string
      readonly mode: number
      readonly bytes: Uint8Array | string
      readonly modified: number | undefined
    }
  | {
      readonly _tag: "Note"
      readonly path: string
      readonly mode: number
      readonly at: number
      readonly bytes: Uint8Array | string
      readonly length?: number
    }
  | { readonly _tag: "MakeFolder"; readonly path: string; readonly mode: number }
  | { readonly _tag: "Rename"; readonly from: string; readonly to: string }
  | {
      readonly _tag: "CheckFile" | "SyncFolder" | "Remove" | "Discard" | "DiscardFolder"
      readonly path: string
    }

/** The operations. Each fails with the system's word for it; none is tried again. */
export interface DiskService {
  /** A new file, which must not be there yet; it has this mode whatever the umask. */
  readonly create: (path: string, mode: number) => Effect.Effect<DiskFile, DiskError>
  readonly rename: (from: string, to: string) => Effect.Effect<void, DiskError>
  /** Removes a file. Succeeds where there is none. */
  readonly remove: (path: string) => Effect.Effect<void, DiskError>
  /** Succeeds where the folder is there, and leaves its mode; a new one has this mode whatever the umask. */
  readonly makeFolder: (path: string, mode: number) => Effect.Effect<void, DiskError>
  readonly removeFolder: (path: string) => Effect.Effect<void, DiskError>
  /** What was written to a file before, by whomever, is on the disk afterwards. Does not follow a link. */
  readonly syncFile: (path: string) => Effect.Effect<void, DiskError>
  /** What was created, renamed or removed in a folder is on the disk afterwards. */
  readonly syncFolder: (path: string) => Effect.Effect<void, DiskError>
  /**
   * Does these one after the other; the first that fails ends it. Not interrupted between two of them. What is written one
   * behind the other, and the folders that are synced behind that, get to the disk in any order; all of that is there
   * before the next step is done.
   */
  readonly sequence: (steps: ReadonlyArray<DiskStep>) => Effect.Effect<void, DiskError>
  readonly list: (path: string) => Effect.Effect<ReadonlyArray<DiskEntry>, DiskError>
  /** The names in a folder of a few hundred entries at most, at once; none where there is no folder. */
  readonly names: (path: string) => Effect.Effect<ReadonlyArray<string>, DiskError>
  /** Undefined where there is nothing. */
  readonly status: (path: string) => Effect.Effect<DiskStatus | undefined, DiskError>
  /** The same, now and without waiting: for who looks at several places for one request, and at none of them for long. */
  readonly look: (path: string) => Either.Either<DiskStatus | undefined, DiskError>
  /**
   * The text of a small file; undefined where there is none. Does not follow a link, nor wait for what is no file
   * (`EFTYPE`); `EFBIG`: it is not small.
   */
  readonly readText: (path: string) => Effect.Effect<string | undefined, DiskError>
  /** The same as bytes. */
  readonly readSmall: (path: string) => Effect.Effect<Uint8Array | undefined, DiskError>
  /** The end of a file, as `readSmall` gives all of one, however long that is: so many bytes at most. */
  readonly readEnd: (path: string, most: number) => Effect.Effect<FileEnd | undefined, DiskError>
  /** A file's content, piece by piece. Does not follow a link; what is no file is an `EFTYPE`. */
  readonly read: (path: string) => AsyncIterable<Uint8Array>
  /** Fails where this process may not list, fill and empty a folder. */
  readonly checkWritable: (path: string) => Effect.Effect<void, DiskError>
  /** Bytes that are free on the file system of a path. */
  readonly free: (path: string) => Effect.Effect<number, DiskError>
}

const codeOf = (cause: unknown): string | undefined => {
  const code: unknown =
    cause instanceof Error ? Object.getOwnPropertyDescriptor(cause, "code")?.value : undefined
  return typeof code === "string" ? code : undefined
}

/** What node threw, as data. */
export const diskError = (cause: unknown): DiskError =>
  cause instanceof DiskError
    ? cause
    : new DiskError({ message: cause instanceof Error ? cause.message : String(cause), code: codeOf(cause) })

/** Nothing has room there any more, or nothing of this user's. */
export const isFull = ({ code }: DiskError): boolean => code === "ENOSPC" || code === "EDQUOT"

/** Nothing is at a path, or what is on the way to it is no folder. */
export const isAbsent = ({ code }: DiskError): boolean => code === "ENOENT" || code === "ENOTDIR"

/** What is at a path is not what belongs there: a link, a folder, a pipe or a device in place of a file, say. */
export const notOfItsKind = (path: string): DiskError =>
  new DiskError({
    message: `${path} is in the way: a link, or another thing than belongs there`,
    code: "EFTYPE"
  })

/** Also where the system says it: of a link that is not followed, and of a socket. */
export const isNotOfItsKind = ({ code }: DiskError): boolean =>
  code === "EFTYPE" || code === "ELOOP" || code === "ENXIO"

/** The disk that the store and the outbox are on; `NodeDisk.layer` is this machine's. */
export class Disk extends Context.Tag("rudder-relay/Disk")<Disk, DiskService>() {}
