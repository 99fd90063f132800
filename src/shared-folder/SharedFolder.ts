/** The folder whose files the nodes may have. It is only read, and nothing outside of it is opened. */
import * as fs from "node:fs"
import {
  Cache,
  Clock,
  Context,
  Data,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Runtime,
  type Scope
} from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import type { HashAlgorithm } from "../disk/ContentHash.ts"
import { type DiskError, diskError } from "../disk/Disk.ts"
import { Hasher } from "../disk/Hasher.ts"
import * as StorageFailure from "../disk/StorageFailure.ts"
import type { StorageError } from "../RelayError.ts"
import type { ByteRange } from "./Conditions.ts"
import type { FolderPath } from "./FolderPath.ts"

/** A file that is open as long as its scope. */
export interface FolderFile {
  /** Bytes. */
  readonly size: number
  /** Milliseconds since 1970. */
  readonly modified: number
  /** Changes with the content; with its quotes. Weak where the file changed so lately that it may change unnoticed. */
  readonly etag: string
  /** Its bytes as they are taken, never more than are asked for. Throws where there are less by now. */
  readonly read: (range: ByteRange) => AsyncIterable<Uint8Array>
  /** In hex; none where the file changed meanwhile. */
  readonly hash: (algorithm: HashAlgorithm) => Effect.Effect<Option.Option<string>, StorageError>
}

export interface SharedFolderService {
  /** None where there is no such file: also for a folder, and for a link that leads out of the shared folder. */
  readonly open: (path: FolderPath) => Effect.Effect<Option.Option<FolderFile>, StorageError, Scope.Scope>
}

export class SharedFolder extends Context.Tag("rudder-relay/SharedFolder")<
  SharedFolder,
  SharedFolderService
>() {
  /** The folder of `shared_folder.path`; it need not be there. */
  static readonly layer = Layer.scoped(
    SharedFolder,
    Effect.suspend(() => make(fs))
  )
}

/** As much of node's `fs` as is needed. */
export interface FolderFs {
  readonly promises: Pick<typeof fs.promises, "open" | "realpath" | "readlink">
}

/** Bytes that are read at once for a caller: two such pieces are held for each. */
const pieceSize = 64 * 1024
/** Bytes that are read at once for a hash. */
const hashedAtOnce = 512 * 1024
/** More files than this are not hashed at once. */
const maxHashing = 2
/** So many hashes are remembered: many nodes ask for the same few files. */
const maxHashes = 1000
/** A file system's clock goes in steps: within one, a file can change and look the same. */
const settlingTime = Duration.seconds(1)

/** What the system says where there is no file to be had at a path. */
const absent = new Set(["ENOENT", "ENOTDIR", "ENAMETOOLONG", "ELOOP", "ENXIO"])

/** A file on the disk as it was at one time. */
interface Opened {
  readonly handle: fs.promises.FileHandle
  readonly size: number
  readonly modified: number
  /** Differs between any two contents of this path, once the file has settled. */
  readonly version: string
  readonly settled: boolean
}

/** One content of one file. */
class Content extends Data.Class<{
  readonly place: string
  readonly version: string
  readonly algorithm: HashAlgorithm
}> {}

const attempt = <A>(operation: () => Promise<A>) => Effect.tryPromise({ try: operation, catch: diskError })

const unlessAbsent = <A, R>(effect: Effect.Effect<A, DiskError, R>) =>
  Effect.matchEffect(effect, {
    onFailure: (error) => (absent.has(error.code ?? "") ? Effect.succeedNone : Effect.fail<DiskError>(error)),
    onSuccess: Effect.succeedSome
  })

/** Opens what is at a place that has no link in it; none where that is no file. */
const openPlace = ({ promises }: FolderFs, place: string) =>
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
      return Option.none<Opened>()
    const now = yield* Clock.currentTimeMillis
    return Option.some<Opened>({
      handle,
      size: Number(status.size),
      modified: Number(status.mtimeMs),
      version: [status.size, status.ctimeNs].map((part) => part.toString(16)).join("-"),
      settled: now - Number(status.ctimeMs) > Duration.toMillis(settlingTime)
    })
  })

/** Fills memory from a place in a file on, as far as it goes; gives how many bytes that was, never none. */
type Take = (piece: Uint8Array, at: number) => Promise<number>

const taking =
  ({ handle }: Opened): Take =>
  async (piece, at) => {
    const { bytesRead } = await handle.read(piece, 0, piece.length, at)
    if (bytesRead === 0) throw new Error("the file became shorter while it was read")
    return bytesRead
  }

/** A range of bytes; `next` gives the memory that they are read to. */
async function* pieces(
  take: Take,
  { start, end }: ByteRange,
  next: (length: number) => Uint8Array
): AsyncGenerator<Uint8Array> {
  let at = start
  while (at <= end) {
    const piece = next(end - at + 1)
    const length = await take(piece, at)
    at += length
    yield piece.subarray(0, length)
  }
}

const all = ({ size }: Opened): ByteRange => ({ start: 0, end: size - 1 })

export const make = (node: FolderFs) =>
  Effect.gen(function* () {
    const { sharedFolder } = yield* RelayConfig
    const hasher = yield* Hasher
    const scope = yield* Effect.scope
    const runtime = yield* Effect.runtime()
    const hashing = yield* Effect.makeSemaphore(maxHashing)

    /** Where a file really is; none where that is not in the folder. */
    const placeOf = (path: FolderPath) =>
      Effect.gen(function* () {
        const root = yield* attempt(() => node.promises.realpath(sharedFolder.path))
        const place = yield* attempt(() => node.promises.realpath([root, ...path].join("/")))
        if (place.startsWith(root.endsWith("/") ? root : `${root}/`)) return Option.some(place)
        yield* Effect.logWarning("a link that leads out of the shared folder is not followed").pipe(
          Effect.annotateLogs({ path: path.join("/") })
        )
        return Option.none()
      })

    const digest = (file: Opened, algorithm: HashAlgorithm) =>
      Effect.gen(function* () {
        const hash = yield* hasher.begin(algorithm)
        const block = new Uint8Array(new SharedArrayBuffer(Math.max(1, Math.min(hashedAtOnce, file.size))))
        return yield* attempt(async () => {
          for await (const piece of pieces(taking(file), all(file), (length) => block.subarray(0, length)))
            await hash.update(piece)
          return (await hash.digest(new Uint8Array())).toString("hex")
        })
      })

    /** Opens the file by itself, since it may be asked for after the one who asked first has left. */
    const hashOf = ({ place, version, algorithm }: Content) =>
      Effect.gen(function* () {
        const before = yield* openPlace(node, place)
        if (Option.isNone(before) || before.value.version !== version) return Option.none()
        const hash = yield* digest(before.value, algorithm)
        const after = yield* openPlace(node, place)
        return Option.exists(after, (file) => file.version === version) ? Option.some(hash) : Option.none()
      }).pipe(
        Effect.scoped,
        unlessAbsent,
        Effect.map(Option.flatten),
        Effect.catchAll(StorageFailure.failed),
        hashing.withPermits(1),
        Effect.withSpan("SharedFolder.hash", { attributes: { place } })
      )

    const hashes = yield* Cache.makeWith({
      capacity: maxHashes,
      lookup: hashOf,
      timeToLive: Exit.match({ onFailure: () => Duration.zero, onSuccess: () => Duration.infinity })
    })

    /** Several callers wait for one hash, so that none of them ends it by leaving. */
    const sharedHash = (content: Content) =>
      Effect.flatMap(Effect.forkIn(hashes.get(content), scope), Fiber.join)

    /** It is too late to tell the caller, but by cutting the answer off. */
    const tellCut = (place: string, cause: unknown) =>
      Runtime.runFork(runtime)(
        Effect.logError("a file of the shared folder was cut off").pipe(
          Effect.annotateLogs({ place, error: diskError(cause).message })
        )
      )

    const describe = (place: string, file: Opened): FolderFile => ({
      size: file.size,
      modified: file.modified,
      etag: `${file.settled ? "" : "W/"}"${file.version}"`,
      read: (range) => {
        const take: Take = (piece, at) =>
          taking(file)(piece, at).catch((cause: unknown) => {
            tellCut(place, cause)
            throw cause
          })
        return pieces(take, range, (length) => Buffer.allocUnsafe(Math.min(pieceSize, length)))
      },
      hash: (algorithm) => {
        const content = new Content({ place, version: file.version, algorithm })
        return file.settled ? sharedHash(content) : hashOf(content)
      }
    })

    return SharedFolder.of({
      open: (path) =>
        Effect.gen(function* () {
          const place = yield* Effect.map(unlessAbsent(placeOf(path)), Option.flatten)
          if (Option.isNone(place)) return Option.none()
          const file = yield* Effect.map(unlessAbsent(openPlace(node, place.value)), Option.flatten)
          return Option.map(file, (opened) => describe(place.value, opened))
        }).pipe(
          Effect.catchTag("DiskError", StorageFailure.failed),
          Effect.withSpan("SharedFolder.open", { attributes: { path: path.join("/") } })
        )
    })
  })
