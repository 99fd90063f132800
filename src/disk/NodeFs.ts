/** Node's `fs`, as far as a disk needs it, and how its ends are told. */
import type * as fs from "node:fs"
import { Effect } from "effect"
import { type DiskError, diskError } from "./Disk.ts"

/** As much of node's `fs` as is needed: memfs has it too. */
export interface NodeFs
  extends Pick<
    typeof fs,
    | "lstatSync"
    | "readdirSync"
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
  > &
    // Linux has it.
    Partial<Pick<typeof fs.constants, "O_NOATIME">>
}

/** How node tells the end of what a thread did. */
export type Done<A> = (error: Error | null, value: A) => void

/** Does it by a thread, as node's promises do. */
export const attempt = <A>(operation: () => Promise<A>) =>
  Effect.tryPromise({ try: operation, catch: diskError })

/** Does it now, while everything else waits. */
export const now = <A>(operation: () => A) => Effect.try({ try: operation, catch: diskError })

/** Does it by a thread. Waited for to its end: a file that is closed under a thread's hands may be another by then. */
export const byThread = <A>(start: (done: Done<A>) => void): Effect.Effect<A, DiskError> =>
  Effect.uninterruptible(
    Effect.async((resume) =>
      start((error, value) => resume(error ? Effect.fail(diskError(error)) : Effect.succeed(value)))
    )
  )
