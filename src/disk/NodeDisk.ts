/**
 * A disk over node's file system, or over what takes that one's place in tests.
 *
 * What only looks, and what only puts a few bytes into a file that is open, is done at once: such a call takes some
 * microseconds, and asking a thread for it a hundred. What waits for the disk's own journal (new names, renames, syncs),
 * or moves much, is done by the threads: it can take as long as the disk likes.
 */
import * as fs from "node:fs"
import { Effect, Either, Layer } from "effect"
import * as CommitThread from "./CommitThread.ts"
import {
  Disk,
  DiskError,
  type DiskService,
  type DiskStatus,
  diskError,
  type FileEnd,
  isAbsent,
  notOfItsKind
} from "./Disk.ts"
import { create, hasMode, openNotes, withMode } from "./NodeFile.ts"
import { attempt, byThread, type NodeFs, now } from "./NodeFs.ts"
import * as Sequence from "./Sequence.ts"
import * as Slab from "./Slab.ts"

const unlessMissing = <A>(effect: Effect.Effect<A, DiskError>): Effect.Effect<A | undefined, DiskError> =>
  Effect.catchIf(effect, isAbsent, () => Effect.succeed(undefined))

const kindOf = (entry: {
  readonly isFile: () => boolean
  readonly isDirectory: () => boolean
  readonly isSymbolicLink: () => boolean
}): DiskStatus["kind"] =>
  entry.isFile() ? "file" : entry.isDirectory() ? "folder" : entry.isSymbolicLink() ? "link" : "other"

/** Most files are small, and a great buffer for each is work for the collector. Bytes. */
const firstPiece = 16 * 1024
const furtherPiece = 1 << 20

/** No record of ours is longer; what is would only fill the memory. Bytes. */
const longestText = 1 << 20

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

const look = (node: NodeFs, path: string): Either.Either<DiskStatus | undefined, DiskError> => {
  try {
    const found = node.lstatSync(path, orNothing)
    if (found === undefined) return nothing
    return Either.right({
      kind: kindOf(found),
      size: Number(found.size),
      modified: Math.round(Number(found.mtimeMs)),
      inode: Number(found.ino),
      changed: Number(found.ctimeMs)
    })
  } catch (cause) {
    const error = diskError(cause)
    return isAbsent(error) ? nothing : Either.left(error)
  }
}

const nothing: Either.Either<undefined> = Either.right(undefined)
const orNothing = { throwIfNoEntry: false } as const

/** Opens a file, and has the system not note that it was read: of a file that is read once that is a part of the work. */
const openToRead = (node: NodeFs, path: string): number => {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_NOATIME = 0 } = node.constants
  const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK
  try {
    return node.openSync(path, flags | O_NOATIME)
  } catch (cause) {
    // Somebody else's file.
    if (diskError(cause).code !== "EPERM") throw cause
    return node.openSync(path, flags)
  }
}

/** What a file that is there has, which is `length` bytes long. */
const ofFile = <A>(node: NodeFs, path: string, read: (file: number, length: number) => A): A => {
  const file = openToRead(node, path)
  try {
    const found = node.fstatSync(file)
    if (!found.isFile()) throw notOfItsKind(path)
    return read(file, Number(found.size))
  } finally {
    node.closeSync(file)
  }
}

/** The bytes of a small file. */
const bytesOf = (node: NodeFs, path: string): Buffer =>
  ofFile(node, path, (file, expected) => {
    if (expected > longestText) throw tooLong(path)
    // A byte to spare: what grew meanwhile is seen, and the end of what did not.
    let buffer = Slab.take(expected + 1)
    let length = 0
    for (let more = 1; more > 0; ) {
      if (length > longestText) throw tooLong(path)
      if (length === buffer.length) buffer = Buffer.concat([buffer], length * 2)
      more = node.readSync(file, buffer, length, buffer.length - length, null)
      length += more
      // All that it had is there, and more was asked for.
      if (length === expected) break
    }
    return buffer.subarray(0, length)
  })

/** The last bytes of a file, so many at most. */
const endOf = (node: NodeFs, path: string, most: number): FileEnd =>
  ofFile(node, path, (file, length) => {
    const buffer = Buffer.allocUnsafe(Math.min(length, most))
    const from = length - buffer.length
    let count = 0
    for (let more = 1; more > 0 && count < buffer.length; count += more)
      more = node.readSync(file, buffer, count, buffer.length - count, from + count)
    return { bytes: buffer.subarray(0, count), length }
  })

/** What is read; undefined where there is no such file. */
const ifThere = <A>(read: () => A): Either.Either<A | undefined, DiskError> => {
  try {
    return Either.right(read())
  } catch (cause) {
    const error = diskError(cause)
    return isAbsent(error) ? nothing : Either.left(error)
  }
}

const tooLong = (path: string) =>
  new DiskError({ message: `${path} is longer than any record`, code: "EFBIG" })

/** Those who sync a folder at the same time share that in the system itself. */
const sync = (
  node: NodeFs,
  path: string,
  flag: "O_NOFOLLOW" | "O_DIRECTORY"
): Effect.Effect<void, DiskError> => {
  const { O_RDONLY, O_NONBLOCK } = node.constants
  return Effect.acquireUseRelease(
    now(() => node.openSync(path, O_RDONLY | O_NONBLOCK | node.constants[flag])),
    (file) => byThread<void>((done) => node.fsync(file, done)),
    (file) => Effect.ignore(now(() => node.closeSync(file)))
  )
}

/** A disk over node's `fs`, or what takes its place. */
export const make = (node: NodeFs): DiskService => {
  const disk = operations(node)
  return {
    ...disk,
    sequence: Sequence.make({ ...disk, openNotes: (path, mode) => openNotes(node, path, mode) })
  }
}

const operations = (node: NodeFs): Omit<DiskService, "sequence"> => {
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
    syncFile: (path) => sync(node, path, "O_NOFOLLOW"),
    syncFolder: (path) => sync(node, path, "O_DIRECTORY"),
    list: (path) =>
      Effect.map(
        unlessMissing(attempt(() => promises.readdir(path, { withFileTypes: true }))),
        (entries = []) =>
          entries.map((entry) => {
            const kind = kindOf(entry)
            return { name: String(entry.name), kind: kind === "link" ? "other" : kind }
          })
      ),
    names: (path) =>
      Effect.map(unlessMissing(now(() => node.readdirSync(path).map(String))), (found = []) => found),
    status: (path) => Effect.suspend(() => look(node, path)),
    look: (path) => look(node, path),
    readText: (path) => Effect.suspend(() => ifThere(() => bytesOf(node, path).toString("utf8"))),
    readSmall: (path) => Effect.suspend(() => ifThere(() => bytesOf(node, path))),
    readEnd: (path, most) => Effect.suspend(() => ifThere(() => endOf(node, path, most))),
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

/** What `layer` has. */
export const local = Effect.map(CommitThread.make, (sequence) => ({ ...make(fs), sequence }))

/** The disk of this machine; commits are done by a thread, which starts with the first. */
export const layer = Layer.scoped(Disk, local)
