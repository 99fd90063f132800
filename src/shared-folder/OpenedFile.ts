/** A file of the shared folder that is open, as it was when it was opened. */
import * as fs from "node:fs"
import { Clock, Duration, Effect, Option, type Scope } from "effect"
import { DiskError } from "../disk/Disk.ts"
import { attempt } from "../disk/NodeFs.ts"
import type { ByteRange } from "./Conditions.ts"

/** As much of node's `fs` as is needed. */
export interface FolderFs {
  readonly promises: Pick<typeof fs.promises, "open" | "realpath" | "readlink">
}

/** Fills memory from a place in a file on, as far as it goes; gives how many bytes that was, never none. */
export type Take = (piece: Uint8Array, at: number) => Promise<number>

/** A file that is open as long as its scope. */
export interface OpenedFile {
  /** Throws where the file became shorter. */
  readonly take: Take
  /** Bytes. */
  readonly size: number
  /** Milliseconds since 1970. */
  readonly modified: number
  /** Differs between any two contents of this path, once the file is at rest. */
  readonly version: string
  /** It was not changed lately: a change from now on gives it another version. */
  readonly isAtRest: boolean
}

/** A file system's clock goes in steps: within one, a file can change and look the same. */
const longestStep = Duration.seconds(1)

/** What the system says where there is no file to be had at a path. */
const absent = new Set(["ENOENT", "ENOTDIR", "ENAMETOOLONG", "ELOOP", "ENXIO"])

/** None where there is no file to be had. */
export const unlessAbsent = <A, E, R>(
  effect: Effect.Effect<Option.Option<A>, E, R>
): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.catchIf(
    effect,
    (error) => error instanceof DiskError && absent.has(error.code ?? ""),
    () => Effect.succeedNone
  )

/** Opens what is at a place that has no link in it, until the scope ends; none where that is no file. */
export const open = (
  { promises }: FolderFs,
  place: string
): Effect.Effect<Option.Option<OpenedFile>, DiskError, Scope.Scope> =>
  Effect.gen(function* () {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants
    const handle = yield* Effect.acquireRelease(
      // Opening a pipe would wait for who writes it.
      attempt(() => promises.open(place, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)),
      (opened) => Effect.promise(() => opened.close().catch(() => {}))
    )
    // A folder on the way may have become a link since it was looked at. What was replaced meanwhile was there.
    const opened = yield* attempt(() => promises.readlink(`/proc/self/fd/${handle.fd}`))
    const status = yield* attempt(() => handle.stat({ bigint: true }))
    if (opened.replace(/ \(deleted\)$/, "") !== place.replace(/ \(deleted\)$/, "") || !status.isFile())
      return Option.none()
    const now = yield* Clock.currentTimeMillis
    return Option.some({
      take: async (piece, at) => {
        const { bytesRead } = await handle.read(piece, 0, piece.length, at)
        if (bytesRead === 0) throw new Error("the file became shorter while it was read")
        return bytesRead
      },
      size: Number(status.size),
      modified: Number(status.mtimeMs),
      version: [status.size, status.ctimeNs].map((part) => part.toString(16)).join("-"),
      isAtRest: now - Number(status.ctimeMs) > Duration.toMillis(longestStep)
    })
  })

/** Bytes that are read at once for a caller: two such pieces are held for each. */
const pieceSize = 64 * 1024

/** A range of bytes, read as they are taken. */
export async function* pieces(take: Take, { start, end }: ByteRange): AsyncGenerator<Uint8Array> {
  let at = start
  while (at <= end) {
    const piece = Buffer.allocUnsafe(Math.min(pieceSize, end - at + 1))
    const length = await take(piece, at)
    at += length
    yield piece.subarray(0, length)
  }
}
