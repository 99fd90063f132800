/**
 * Leases on folders of a file system: a lock (flock) on a file in the folder.
 *
 * Such a lock belongs to a file that is open: the system frees it with the process, however that ends, it holds between
 * containers that share the folder, and no child has it, since node opens files for itself alone. Node can't ask for one,
 * so the command `flock` does, on the file that node has open.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { hostname } from "node:os"
import { Data, Effect, Exit, Layer, Option, Scope } from "effect"
import { DiskError, diskError, isFull, notOfItsKind } from "./Disk.ts"
import { isMissing } from "./Folders.ts"
import * as FolderUnusable from "./FolderUnusable.ts"
import { FolderTaken, Lease, type LeaseService } from "./Lease.ts"

/** No id of a node, a file or a run is like this, so no request leads to it. */
export const lockName = "~lock"

/** Somebody removed the file while it was being locked: the lock is on nothing that others would find. */
class Replaced extends Data.TaggedError("Replaced") {}

/** A command that answers at once may be slow to start on a machine that has much to do. Seconds. */
const patience = 30

/** `flock`'s exit code where another has the lock. */
const taken = 1

const flockError = (message: string) => new DiskError({ message: `flock: ${message}`, code: undefined })

/** Runs `flock` on an open file; gives its exit code. */
const flock = (descriptor: number, ...options: ReadonlyArray<string>) =>
  Effect.async<number, DiskError>((resume) => {
    const command = spawn("flock", [...options, "-n", "3"], {
      stdio: ["ignore", "ignore", "ignore", descriptor]
    })
    command.once("error", (error) => resume(Effect.fail(diskError(error))))
    command.once("exit", (code, signal) =>
      resume(
        code === null ? Effect.fail(flockError(`it was ended by ${String(signal)}`)) : Effect.succeed(code)
      )
    )
    return Effect.sync(() => command.kill("SIGKILL"))
  }).pipe(
    Effect.timeoutFail({ duration: `${patience} seconds`, onTimeout: () => flockError("it does not end") })
  )

const openFile = (path: string, besides: number = fs.constants.O_CREAT) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: async () => {
        const { O_RDWR, O_NOFOLLOW, O_NONBLOCK } = fs.constants
        const file = await fs.promises.open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | besides, 0o600)
        if ((await file.stat()).isFile()) return file
        await file.close()
        throw notOfItsKind(path)
      },
      catch: diskError
    }),
    (file) => Effect.promise(() => file.close().catch(() => {}))
  )

/** What the one who has the lock wrote of itself. It may just be about to. */
const holderIn = (file: fs.promises.FileHandle) =>
  Effect.promise(async () => {
    const { buffer, bytesRead } = await file
      .read(Buffer.alloc(300), 0, 300, 0)
      .catch(() => ({ buffer: Buffer.alloc(0), bytesRead: 0 }))
    const text = buffer.toString("utf8", 0, bytesRead).trim()
    return /^[\x20-\x7e]+$/.test(text) ? text : "it does not say which process it is"
  })

/**
 * In the place of what the one before it wrote, which needs no room where that is there still. It is the lock that counts: on
 * a full disk nobody is told who has it, and what waits there can go.
 */
const signFile = (file: fs.promises.FileHandle) =>
  Effect.tryPromise({
    try: async () => {
      await file.chmod(0o600)
      const text = Buffer.from(`process ${process.pid} on ${hostname()}\n`)
      try {
        await file.write(text, 0, text.length, 0)
        await file.truncate(text.length)
      } catch (error) {
        if (!isFull(diskError(error))) throw error
        await file.truncate(0)
      }
    },
    catch: diskError
  })

const isStillAt = (path: string, file: fs.promises.FileHandle) =>
  Effect.promise(async () => {
    const [open, found] = await Promise.all([file.stat(), fs.promises.lstat(path).catch(() => undefined)])
    return found !== undefined && found.ino === open.ino && found.dev === open.dev
  })

/** As long as its scope the file is open, and so locked. */
const lock = (folder: string) =>
  Effect.gen(function* () {
    const path = `${folder}/${lockName}`
    const unusable = ({ message }: { readonly message: string }) => FolderUnusable.because(folder, message)
    const file = yield* Effect.mapError(openFile(path), unusable)
    const code = yield* Effect.mapError(flock(file.fd), (error) =>
      error.code === "ENOENT"
        ? FolderUnusable.because(
            folder,
            "the command flock, which locks it, is not in PATH (Debian: util-linux)"
          )
        : unusable(error)
    )
    if (code === taken) return yield* new FolderTaken({ holder: yield* holderIn(file) })
    if (code !== 0)
      return yield* FolderUnusable.because(folder, `flock ended with ${code}: ${path} can't be locked`)
    if (!(yield* isStillAt(path, file))) return yield* new Replaced()
    yield* Effect.mapError(signFile(file), unusable)
  })

/** What `layer` has. */
export const locks: LeaseService = {
  take: (folder) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        yield* restore(lock(folder)).pipe(
          Scope.extend(scope),
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
        )
        yield* Effect.addFinalizer((exit) => Scope.close(scope, exit))
      })
    ).pipe(
      Effect.retry({ while: ({ _tag }) => _tag === "Replaced", times: 10 }),
      Effect.catchTag("Replaced", () => new FolderTaken({ holder: "one that removes locks" })),
      Effect.withSpan("Lease.take", { attributes: { folder } })
    )
}

/** Leases by locks in the folders themselves. */
export const layer = Layer.succeed(Lease, locks)

/**
 * Who has a folder's lease now, in its own words; none where nobody has it. Nothing is taken, made or written: for a moment
 * the lock is shared, and a relay that wants it then asks again. Fails where the lock can't be opened.
 */
export const holder = (folder: string): Effect.Effect<Option.Option<string>, DiskError> =>
  Effect.gen(function* () {
    const file = yield* openFile(`${folder}/${lockName}`, 0)
    return (yield* flock(file.fd, "-s")) === taken ? Option.some(yield* holderIn(file)) : Option.none()
  }).pipe(
    Effect.catchIf(isMissing, () => Effect.succeedNone),
    Effect.scoped
  )
