/**
 * A disk over node's file system, or over what takes that one's place in tests.
 *
 * What only looks, and what only puts a few bytes into a file that is open, is done at once: such a call takes some
 * microseconds, and asking a thread for it a hundred. What waits for the disk's own journal (new names, renames, syncs),
 * or moves much, is done by the threads: it can take as long as the disk likes.
 */
import * as fs from "node:fs"
import { Effect, Either, Layer } from "effect"
import {
  Disk,
  DiskError,
  type DiskFile,
  type DiskService,
  type DiskStatus,
  diskError,
  notOfItsKind
} from "./Disk.ts"
import * as GroupSync from "./GroupSync.ts"

/** As much of node's `fs` as is needed: memfs has it too. */
export interface NodeFs
  extends Pick<
    typeof fs,
    | "lstatSync"
    | "statfsSync"
    | "openSync"
    | "fstatSync"
    | "fchmodSync"
    | "readSync"
    | "writeSync"
    | "futimesSync"
    | "closeSync"
  > {
  // With callbacks: a promise for each costs as much again.
  readonly open: (path: string, flags: number, mode: number, done: Done<number>) => void
  readonly write: (
    file: number,
    bytes: Uint8Array,
    from: number,
    length: number,
    position: null,
    done: Done<number>
  ) => void
  readonly fsync: (file: number, done: Done<void>) => void
  readonly fdatasync: (file: number, done: Done<void>) => void
  readonly rename: (from: string, to: string, done: Done<void>) => void
  readonly unlink: (path: string, done: Done<void>) => void
  readonly promises: Pick<
    typeof fs.promises,
    "open" | "mkdir" | "rmdir" | "readdir" | "lstat" | "chmod" | "access"
  >
  readonly constants: Pick<
    typeof fs.constants,
    | "O_RDONLY"
    | "O_WRONLY"
    | "O_CREAT"
    | "O_EXCL"
    | "O_NOFOLLOW"
    | "O_NONBLOCK"
    | "O_DIRECTORY"
    | "R_OK"
    | "W_OK"
    | "X_OK"
  >
}

/** How node tells the end of what a thread did. */
export type Done<A> = (error: Error | null, value: A) => void

const attempt = <A>(operation: () => Promise<A>) => Effect.tryPromise({ try: operation, catch: diskError })

const now = <A>(operation: () => A) => Effect.try({ try: operation, catch: diskError })

/** Waited for to its end: a file that is closed under a thread's hands may be another by then. */
const byThread = <A>(start: (done: Done<A>) => void): Effect.Effect<A, DiskError> =>
  Effect.uninterruptible(
    Effect.async((resume) =>
      start((error, value) => resume(error ? Effect.fail(diskError(error)) : Effect.succeed(value)))
    )
  )

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

/** No record of ours is longer; what is would only fill the memory. Bytes. */
const longestText = 1 << 20

/** The bits of a mode that say who may do what. */
const permissions = 0o777

/** Whether the umask left a mode as it was asked for. */
const hasMode = (found: number, mode: number): boolean => (found & permissions) === mode

/** What is needed besides, such as a folder's group that its files take over, stays. */
const withMode = (found: number, mode: number): number => (found & 0o7000) | mode

/** Undoes what the umask took from a new file's mode. */
const giveMode = (node: NodeFs, file: number, mode: number) => {
  try {
    if (!hasMode(node.fstatSync(file).mode, mode)) node.fchmodSync(file, mode)
  } catch (cause) {
    node.closeSync(file)
    throw cause
  }
}

/** Reads a file in pieces. */
async function* pieces({ promises, constants }: NodeFs, path: string): AsyncGenerator<Uint8Array> {
  // Opening a pipe would wait for who writes it, on a thread that others need.
  const file = await promises.open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    if (!(await file.stat()).isFile()) throw notOfItsKind(path)
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

/** The text of a small file. */
const textOf = (node: NodeFs, path: string): string => {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = node.constants
  const file = node.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    const found = node.fstatSync(file)
    if (!found.isFile()) throw notOfItsKind(path)
    if (Number(found.size) > longestText) throw tooLong(path)
    // A byte to spare: what grew meanwhile is seen, and the end of what did not.
    let buffer = Buffer.allocUnsafe(Number(found.size) + 1)
    let length = 0
    for (let more = 1; more > 0; length += more) {
      if (length > longestText) throw tooLong(path)
      if (length === buffer.length) buffer = Buffer.concat([buffer], length * 2)
      more = node.readSync(file, buffer, length, buffer.length - length, null)
    }
    return buffer.toString("utf8", 0, length)
  } finally {
    node.closeSync(file)
  }
}

const tooLong = (path: string) =>
  new DiskError({ message: `${path} is longer than any record`, code: "EFBIG" })

/** So much is written before it is sent on its way to the disk. Bytes. */
const syncedEarly = 32 * 1024 * 1024

/** Sends a large file on its way to the disk while more of it comes, so that little is left to wait for at its end. */
class EarlySync {
  private unsynced = 0
  private isRunning = false
  private failure: Error | null = null
  private readonly waiting: Array<() => void> = []
  private readonly sync: (done: Done<void>) => void

  constructor(sync: (done: Done<void>) => void) {
    this.sync = sync
  }

  wrote(length: number): void {
    this.unsynced += length
    if (this.isRunning || this.unsynced < syncedEarly) return
    this.unsynced = 0
    this.isRunning = true
    this.sync((error) => {
      this.isRunning = false
      // A failure is told once for a file, and so remembered for the end of it.
      this.failure ??= error
      for (const wake of this.waiting.splice(0)) wake()
    })
  }

  /** Waits for what is under way. Fails where one has failed. */
  readonly ended: Effect.Effect<void, DiskError> = Effect.uninterruptible(
    Effect.async((resume) => {
      const tell = () => resume(this.failure === null ? Effect.void : Effect.fail(diskError(this.failure)))
      if (this.isRunning) this.waiting.push(tell)
      else tell()
    })
  )
}

/** So much is copied to the system's memory in no time. Bytes. */
const writtenAtOnce = 64 * 1024

const writeAtOnce = (node: NodeFs, file: number, bytes: Uint8Array): void => {
  let from = 0
  while (from < bytes.length) from += node.writeSync(file, bytes, from, bytes.length - from, null)
}

const writeByThread = (
  node: NodeFs,
  file: number,
  bytes: Uint8Array,
  from = 0
): Effect.Effect<void, DiskError> =>
  Effect.flatMap(
    byThread<number>((done) => node.write(file, bytes, from, bytes.length - from, null, done)),
    (count) => (from + count < bytes.length ? writeByThread(node, file, bytes, from + count) : Effect.void)
  )

/** A new file, which is open until it is closed. */
const fileOf = (node: NodeFs, file: number): DiskFile => {
  const early = new EarlySync((done) => node.fdatasync(file, done))
  return {
    write: (bytes) =>
      Effect.map(
        bytes.length <= writtenAtOnce
          ? now(() => writeAtOnce(node, file, bytes))
          : writeByThread(node, file, bytes),
        () => early.wrote(bytes.length)
      ),
    sync: (modified) =>
      early.ended.pipe(
        Effect.andThen(now(() => node.futimesSync(file, modified / 1000, modified / 1000))),
        Effect.andThen(byThread<void>((done) => node.fsync(file, done)))
      ),
    close: Effect.ignore(Effect.ensuring(early.ended, Effect.ignore(now(() => node.closeSync(file)))))
  }
}

const create = (node: NodeFs, path: string, mode: number): Effect.Effect<DiskFile, DiskError> => {
  const { O_WRONLY, O_CREAT, O_EXCL } = node.constants
  return Effect.flatMap(
    byThread<number>((done) => node.open(path, O_WRONLY | O_CREAT | O_EXCL, mode, done)),
    (file) =>
      now(() => {
        giveMode(node, file, mode)
        return fileOf(node, file)
      })
  )
}

const folderSyncs = (node: NodeFs) => {
  const { O_RDONLY, O_DIRECTORY, O_NONBLOCK } = node.constants
  return GroupSync.make((path, ended) => {
    const opened = Either.try({
      try: () => node.openSync(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK),
      catch: diskError
    })
    if (Either.isLeft(opened)) return ended(Effect.fail(opened.left))
    node.fsync(opened.right, (error) => {
      node.closeSync(opened.right)
      ended(error ? Effect.fail(diskError(error)) : Effect.void)
    })
  })
}

/** A disk over node's `fs`, or what takes its place. */
export const make = (node: NodeFs): DiskService => {
  const { promises, constants } = node
  return {
    create: (path, mode) => Effect.uninterruptible(create(node, path, mode)),
    rename: (from, to) => byThread<void>((done) => node.rename(from, to, done)),
    remove: (path) => Effect.asVoid(unlessMissing(byThread<void>((done) => node.unlink(path, done)))),
    makeFolder: (path, mode) =>
      Effect.catchIf(
        attempt(async () => {
          await promises.mkdir(path, { mode })
          const made = await promises.lstat(path)
          if (!hasMode(made.mode, mode)) await promises.chmod(path, withMode(made.mode, mode))
        }),
        ({ code }) => code === "EEXIST",
        () => Effect.void
      ),
    removeFolder: (path) => attempt(() => promises.rmdir(path)),
    syncFolder: folderSyncs(node),
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
      unlessMissing(
        now(() => {
          const found = node.lstatSync(path, { throwIfNoEntry: false })
          return found === undefined
            ? undefined
            : {
                kind: kindOf(found),
                size: Number(found.size),
                modified: Math.round(Number(found.mtimeMs)),
                inode: Number(found.ino),
                changed: Number(found.ctimeMs)
              }
        })
      ),
    readText: (path) => unlessMissing(now(() => textOf(node, path))),
    read: (path) => pieces(node, path),
    checkWritable: (path) =>
      attempt(() => promises.access(path, constants.R_OK | constants.W_OK | constants.X_OK)),
    free: (path) =>
      now(() => {
        const { bavail, bsize } = node.statfsSync(path)
        return Number(bavail) * Number(bsize)
      })
  }
}

/** The disk of this machine. */
export const layer = Layer.succeed(Disk, make(fs))
