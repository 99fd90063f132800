/** A file that is written, over node's `fs`. */
import { Effect } from "effect"
import { type DiskError, type DiskFile, diskError } from "./Disk.ts"
import { byThread, type Done, type NodeFs, now } from "./NodeFs.ts"
import type { NoteFile } from "./Sequence.ts"

/** The bits of a mode that say who may do what. */
const permissions = 0o777

/** Whether the umask left a mode as it was asked for. */
export const hasMode = (found: number, mode: number): boolean => (found & permissions) === mode

/** What is needed besides, such as a folder's group that its files take over, stays. */
export const withMode = (found: number, mode: number): number => (found & 0o7000) | mode

/** Undoes what the umask took from a new file's mode. */
const giveMode = (node: NodeFs, file: number, mode: number) => {
  try {
    if (!hasMode(node.fstatSync(file).mode, mode)) node.fchmodSync(file, mode)
  } catch (cause) {
    node.closeSync(file)
    throw cause
  }
}

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

/** @param at where in the file; null: at its end */
const writeAtOnce = (node: NodeFs, file: number, bytes: Uint8Array, at: number | null = null): void => {
  for (let from = 0; from < bytes.length; )
    from += node.writeSync(file, bytes, from, bytes.length - from, at === null ? null : at + from)
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

/** A new file, which must not be there yet. */
export const create = (node: NodeFs, path: string, mode: number): Effect.Effect<DiskFile, DiskError> => {
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

/** A file in which several have their place; made where it is missing. */
export const openNotes = (node: NodeFs, path: string, mode: number): Effect.Effect<NoteFile, DiskError> => {
  const { O_WRONLY, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = node.constants
  return Effect.flatMap(
    byThread<number>((done) => node.open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, mode, done)),
    (file) =>
      now(() => {
        giveMode(node, file, mode)
        return {
          write: (bytes, at) => now(() => writeAtOnce(node, file, bytes, at)),
          sync: byThread<void>((done) => node.fdatasync(file, done)),
          close: Effect.ignore(now(() => node.closeSync(file)))
        }
      })
  )
}
