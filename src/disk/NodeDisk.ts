/** A disk over node's file system, or over what takes that one's place in tests. */
import * as fs from "node:fs"
import { Effect, Layer } from "effect"
import {
  Disk,
  DiskError,
  type DiskFile,
  type DiskService,
  type DiskStatus,
  diskError,
  notOfItsKind
} from "./Disk.ts"

/** As much of node's `fs` as is needed: memfs has it too. */
export interface NodeFs {
  readonly promises: Pick<
    typeof fs.promises,
    "open" | "rename" | "unlink" | "mkdir" | "rmdir" | "readdir" | "lstat" | "statfs" | "chmod" | "access"
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

/** No record of ours is longer; what is would only fill the memory. Bytes. */
const longestText = 1 << 20

/** The bits of a mode that say who may do what. */
const permissions = 0o777

/** Whether the umask left a mode as it was asked for. */
const hasMode = (found: number, mode: number): boolean => (found & permissions) === mode

/** What is needed besides, such as a folder's group that its files take over, stays. */
const withMode = (found: number, mode: number): number => (found & 0o7000) | mode

/** Undoes what the umask took from a new file's mode. */
const giveMode = async (file: fs.promises.FileHandle, mode: number): Promise<void> => {
  try {
    if (!hasMode((await file.stat()).mode, mode)) await file.chmod(mode)
  } catch (cause) {
    await file.close()
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

/** A new file, which is open until it is closed. */
const createFile = async ({ promises, constants }: NodeFs, path: string, mode: number): Promise<DiskFile> => {
  const file = await promises.open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode)
  await giveMode(file, mode)
  const early = new EarlySync(() => file.datasync())
  return {
    write: (bytes) =>
      attempt(async () => {
        let from = 0
        while (from < bytes.length)
          from += (await file.write(bytes, from, bytes.length - from, null)).bytesWritten
        early.wrote(bytes.length)
      }),
    sync: (modified) =>
      attempt(async () => {
        await early.ended()
        await file.utimes(modified / 1000, modified / 1000)
        await file.sync()
      }),
    close: Effect.promise(() =>
      early
        .over()
        .then(() => file.close())
        .catch(() => {})
    )
  }
}

/** A disk over node's `fs`, or what takes its place. */
export const make = (node: NodeFs): DiskService => {
  const { promises, constants } = node
  return {
    create: (path, mode) => attempt(() => createFile(node, path, mode)),
    rename: (from, to) => attempt(() => promises.rename(from, to)),
    remove: (path) => Effect.asVoid(unlessMissing(attempt(() => promises.unlink(path)))),
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
    syncFolder: (path) =>
      attempt(async () => {
        const { O_RDONLY, O_DIRECTORY, O_NONBLOCK } = constants
        const folder = await promises.open(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK)
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
          let length = 0
          for await (const piece of pieces(node, path)) {
            length += piece.length
            if (length > longestText)
              throw new DiskError({ message: `${path} is longer than any record`, code: "EFBIG" })
            parts.push(Buffer.from(piece))
          }
          return Buffer.concat(parts).toString("utf8")
        })
      ),
    read: (path) => pieces(node, path),
    checkWritable: (path) =>
      attempt(() => promises.access(path, constants.R_OK | constants.W_OK | constants.X_OK)),
    free: (path) =>
      Effect.map(
        attempt(() => promises.statfs(path)),
        ({ bavail, bsize }) => Number(bavail) * Number(bsize)
      )
  }
}

/** The disk of this machine. */
export const layer = Layer.succeed(Disk, make(fs))
