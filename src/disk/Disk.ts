/** The few operations that a commit to disk is made of, over node's file system; tests put one in memory in its place. */

import * as fs from "node:fs"
import { Context, Data, Effect, Layer } from "effect"

/** What the disk says when it does not do it; `code` is the system's, such as `ENOSPC`. */
export class DiskError extends Data.TaggedError("DiskError")<{
  readonly message: string
  readonly code: string | undefined
}> {}

export interface DiskEntry {
  readonly name: string
  readonly kind: "file" | "folder" | "other"
}

export interface DiskStatus {
  /** Not following a link. */
  readonly kind: "file" | "folder" | "link" | "other"
  readonly size: number
  /** Milliseconds since 1970. */
  readonly modified: number
}

/** A file that is being written. */
export interface DiskFile {
  /** All of it, at the end. */
  readonly write: (bytes: Uint8Array) => Promise<void>
  /** Content, size and modification time are on the disk afterwards. */
  readonly sync: (modified: number) => Promise<void>
  readonly close: () => Promise<void>
}

export interface DiskService {
  /** A new file, which must not be there yet. */
  readonly create: (path: string, mode: number) => Effect.Effect<DiskFile, DiskError>
  readonly rename: (from: string, to: string) => Effect.Effect<void, DiskError>
  readonly remove: (path: string) => Effect.Effect<void, DiskError>
  /** Succeeds where the folder is there. */
  readonly makeFolder: (path: string, mode: number) => Effect.Effect<void, DiskError>
  readonly removeFolder: (path: string) => Effect.Effect<void, DiskError>
  /** What was created, renamed or removed in a folder is on the disk afterwards. */
  readonly syncFolder: (path: string) => Effect.Effect<void, DiskError>
  readonly list: (path: string) => Effect.Effect<ReadonlyArray<DiskEntry>, DiskError>
  /** Undefined where there is nothing. */
  readonly status: (path: string) => Effect.Effect<DiskStatus | undefined, DiskError>
  /** The text of a small file; undefined where there is none. Does not follow a link. */
  readonly readText: (path: string) => Effect.Effect<string | undefined, DiskError>
  /** A file's content, piece by piece. Does not follow a link. */
  readonly read: (path: string) => AsyncIterable<Uint8Array>
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

/** As much of node's `fs` as is needed: memfs has it too. */
export interface NodeFs {
  readonly promises: Pick<
    typeof fs.promises,
    "open" | "rename" | "unlink" | "mkdir" | "rmdir" | "readdir" | "lstat" | "statfs"
  >
  readonly constants: Pick<typeof fs.constants, "O_RDONLY" | "O_WRONLY" | "O_CREAT" | "O_EXCL" | "O_NOFOLLOW">
}

const attempt = <A>(operation: () => Promise<A>) => Effect.tryPromise({ try: operation, catch: diskError })

const unlessMissing = <A>(effect: Effect.Effect<A, DiskError>): Effect.Effect<A | undefined, DiskError> =>
  Effect.catchIf(
    effect,
    ({ code }) => code === "ENOENT" || code === "ENOTDIR",
    () => Effect.succeed(undefined)
  )

const kindOf = (entry: {
  readonly isFile: () => boolean
  readonly isDirectory: () => boolean
  readonly isSymbolicLink: () => boolean
}): DiskStatus["kind"] =>
  entry.isSymbolicLink() ? "link" : entry.isFile() ? "file" : entry.isDirectory() ? "folder" : "other"

/** Most files are small, and a great buffer for each is work for the collector. Bytes. */
const firstPiece = 16 * 1024
const furtherPiece = 1 << 20

/** Reads a file in pieces. */
async function* pieces({ promises, constants }: NodeFs, path: string): AsyncGenerator<Uint8Array> {
  const file = await promises.open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    let buffer = Buffer.allocUnsafe(firstPiece)
    while (true) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
      if (bytesRead === firstPiece) buffer = Buffer.allocUnsafe(furtherPiece)
    }
  } finally {
    await file.close()
  }
}

/** So much is written before it is sent on its way to the disk. Bytes. */
const syncedEarly = 32 * 1024 * 1024

/** Sends a large file on its way to the disk while more of it comes, so that little is left to wait for at its end. */
class EarlySync {
  private unsynced = 0
  private isRunning = false
  private last: Promise<void> = Promise.resolve()
  private readonly sync: () => Promise<void>

  constructor(sync: () => Promise<void>) {
    this.sync = sync
  }

  wrote(length: number): void {
    this.unsynced += length
    if (this.isRunning || this.unsynced < syncedEarly) return
    this.unsynced = 0
    this.isRunning = true
    // A failure is told once for a file, and so remembered for the end of it.
    this.last = Promise.all([this.last, this.sync()]).then(() => {
      this.isRunning = false
    })
    this.last.catch(() => {})
  }

  /** Fails where one has failed. */
  ended(): Promise<void> {
    return this.last
  }

  /** The file is not in use any more, whatever became of it. */
  over(): Promise<void> {
    return this.last.catch(() => {})
  }
}

/** A disk over node's `fs`, or what takes its place. */
export const make = (node: NodeFs): DiskService => {
  const { promises, constants } = node
  return {
    create: (path, mode) =>
      attempt(async () => {
        const file = await promises.open(
          path,
          constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL,
          mode
        )
        const early = new EarlySync(() => file.datasync())
        return {
          write: async (bytes) => {
            let from = 0
            while (from < bytes.length)
              from += (await file.write(bytes, from, bytes.length - from, null)).bytesWritten
            early.wrote(bytes.length)
          },
          sync: async (modified) => {
            await early.ended()
            await file.utimes(modified / 1000, modified / 1000)
            await file.sync()
          },
          close: () => early.over().then(() => file.close())
        }
      }),
    rename: (from, to) => attempt(() => promises.rename(from, to)),
    remove: (path) => Effect.asVoid(unlessMissing(attempt(() => promises.unlink(path)))),
    makeFolder: (path, mode) =>
      Effect.catchIf(
        attempt(() => promises.mkdir(path, { mode })),
        ({ code }) => code === "EEXIST",
        () => Effect.void
      ).pipe(Effect.asVoid),
    removeFolder: (path) => attempt(() => promises.rmdir(path)),
    syncFolder: (path) =>
      attempt(async () => {
        const folder = await promises.open(path, constants.O_RDONLY)
        try {
          await folder.sync()
        } finally {
          await folder.close()
        }
      }),
    list: (path) =>
      Effect.map(
        unlessMissing(attempt(() => promises.readdir(path, { withFileTypes: true }))),
        (entries = []) =>
          entries.map((entry) => {
            const kind = kindOf(entry)
            return { name: String(entry.name), kind: kind === "link" ? "other" : kind }
          })
      ),
    status: (path) =>
      Effect.map(unlessMissing(attempt(() => promises.lstat(path))), (found) =>
        found === undefined
          ? undefined
          : { kind: kindOf(found), size: Number(found.size), modified: Math.round(Number(found.mtimeMs)) }
      ),
    readText: (path) =>
      unlessMissing(
        attempt(async () => {
          const parts: Array<Uint8Array> = []
          for await (const piece of pieces(node, path)) parts.push(Buffer.from(piece))
          return Buffer.concat(parts).toString("utf8")
        })
      ),
    read: (path) => pieces(node, path),
    free: (path) =>
      Effect.map(
        attempt(() => promises.statfs(path)),
        ({ bavail, bsize }) => Number(bavail) * Number(bsize)
      )
  }
}

export class Disk extends Context.Tag("rudder-relay/Disk")<Disk, DiskService>() {
  static readonly layer = Layer.succeed(Disk, make(fs))
}
