/**
 * The relay's folders: whether this user can make and write them, tried with a file that has no name. Nothing is made that
 * stays: a folder made by whoever checks would be theirs.
 */
import { randomUUID } from "node:crypto"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { Effect } from "effect"
import type { Settings } from "../../config/Settings.ts"
import { diskError, isFull } from "../../disk/Disk.ts"
import { temporaryName } from "../../disk/Folders.ts"
import { root } from "../../NodeId.ts"
import { type Finding, type Findings, finding, nothing, together } from "./Finding.ts"
import { nearestThere, type SystemFailure, system, user } from "./SystemCall.ts"

const { O_CREAT, O_DIRECTORY, O_EXCL, O_WRONLY, R_OK, W_OK, X_OK } = constants

/** Linux's O_TMPFILE, which node does not name: a file without a name, which is gone once it is closed, however that comes. */
const nameless = 0o20_000_000 | O_DIRECTORY

/** File systems such as NFS have no files without names. */
const hasNone = ({ code }: SystemFailure) => ["EOPNOTSUPP", "EISDIR", "EINVAL"].includes(code)

/** A disk that is full can be written once what fills it is gone, such as what waits in the outbox for a relay to send it. */
const write = async (file: fs.FileHandle) => {
  try {
    await file.write("x")
  } catch (error) {
    if (!isFull(diskError(error))) throw error
  } finally {
    await file.close()
  }
}

/** Writes a byte into a new file of a folder's, and leaves nothing. */
const tryWriting = (folder: string): Effect.Effect<void, SystemFailure> =>
  system(async () => write(await fs.open(folder, nameless | O_WRONLY, 0o600))).pipe(
    Effect.catchIf(hasNone, () => {
      const name = join(folder, `~check-${randomUUID()}`)
      return system(async () => {
        const file = await fs.open(name, O_CREAT | O_EXCL | O_WRONLY, 0o600)
        await write(file).finally(() => fs.unlink(name))
      })
    }),
    Effect.uninterruptible
  )

/** The file systems of the kernel's own, `proc` and `sysfs`, where nothing can be made whatever the modes say. */
const kernelsOwn = [0x9fa0, 0x62656572]

/** Why a folder can't be made or written; undefined where it can. */
const unusable = (path: string): Effect.Effect<string | undefined> =>
  Effect.gen(function* () {
    const there = yield* nearestThere(path)
    if (!(yield* system(() => fs.stat(there))).isDirectory()) return `${there} is not a folder`
    yield* system(() => fs.access(there, there === path ? R_OK | W_OK | X_OK : W_OK | X_OK))
    const { type } = yield* system(() => fs.statfs(there))
    if (kernelsOwn.includes(type)) return `${there} is the kernel's own`
    return yield* Effect.as(tryWriting(there), undefined)
  }).pipe(Effect.catchAll((error) => Effect.succeed(error.message)))

const folder = (key: string, path: string): Findings =>
  Effect.flatMap(unusable(path), (reason) =>
    reason === undefined
      ? Effect.succeed(nothing)
      : Effect.map(user, (name) => [
          finding("start", "folder", {
            key,
            file: path,
            message: `${path} can't be made or written by ${name}: ${reason}`
          })
        ])
  )

/** A folder in which there is one more for what is being written: what is wrong with both is told of the first. */
const withTemporary = (key: string, path: string): Findings =>
  Effect.zipWith(
    folder(key, path),
    folder(key, join(path, temporaryName)),
    (outer, inner) => (outer.length > 0 ? outer : inner),
    { concurrent: true }
  )

/** A folder that the relay works on, and the key that names it. */
export interface Named {
  readonly key: string
  /** Absolute. */
  readonly path: string
}

/** The folders that a relay with these settings works on. */
export const all = ({ general, remoteRun, sharedFiles }: Settings): ReadonlyArray<Named> => [
  ...(remoteRun.enabled ? [{ key: "remote_run.directory", path: resolve(remoteRun.directory) }] : []),
  { key: "shared_files.path", path: resolve(sharedFiles.path) },
  // The root server forwards nothing, and has no outbox.
  ...(general.nodeId === root ? [] : [{ key: "shared_files.outbox", path: resolve(sharedFiles.outbox) }])
]

/** Each is locked by the relay: what two keys name, it would wait for itself to give up. */
const twice = (named: ReadonlyArray<Named>): ReadonlyArray<Finding> =>
  named.flatMap(({ key, path }, at) => {
    const other = named.slice(0, at).find((before) => before.path === path)
    const message = `${path} is ${other?.key}'s folder; each needs one of its own`
    return other === undefined ? [] : [finding("start", "folder", { key, file: path, message })]
  })

/** Those that can't be made or written by this user. */
export const wrong = (settings: Settings): Findings => {
  const named = all(settings)
  return Effect.map(
    together(
      named.map(({ key, path }) =>
        key === "remote_run.directory" ? folder(key, path) : withTemporary(key, path)
      )
    ),
    (found) => [...twice(named), ...found]
  )
}

/** Where agents' output and runs that can't be written go for a while. */
export const temporary = ({ remoteRun }: Settings): Findings =>
  remoteRun.enabled
    ? Effect.map(unusable(tmpdir()), (reason) =>
        reason === undefined
          ? nothing
          : [
              finding("warning", "folder", {
                file: tmpdir(),
                message: `the temporary folder ${tmpdir()} can't be written: ${reason}; agents' output goes by /dev/shm`
              })
            ]
      )
    : Effect.succeed(nothing)
