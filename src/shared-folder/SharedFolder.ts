/** The folder whose files the nodes may have. It is only read, and nothing outside of it is opened. */
import * as fs from "node:fs"
import { Context, Effect, FiberSet, Layer, Option, type Scope } from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import type { HashAlgorithm } from "../disk/ContentHash.ts"
import { diskError } from "../disk/Disk.ts"
import { attempt } from "../disk/NodeFs.ts"
import * as StorageFailure from "../disk/StorageFailure.ts"
import type { StorageError } from "../RelayError.ts"
import type { ByteRange } from "./Conditions.ts"
import * as FileHashes from "./FileHashes.ts"
import type { FolderPath } from "./FolderPath.ts"
import * as OpenedFile from "./OpenedFile.ts"

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
  readonly hash: (algorithm: HashAlgorithm) => FileHashes.FileHash
}

/** What can be had of the shared folder. */
export interface SharedFolderService {
  /** None where there is no such file: also for a folder, and for a link that leads out of the shared folder. */
  readonly open: (path: FolderPath) => Effect.Effect<Option.Option<FolderFile>, StorageError, Scope.Scope>
}

/** The shared folder; `layer` is that of the configuration, on this machine. */
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

/** Where a file really is; none where that is not in the folder. */
const placeOf = ({ promises }: OpenedFile.FolderFs, folder: string, path: FolderPath) =>
  Effect.gen(function* () {
    const root = yield* attempt(() => promises.realpath(folder))
    const place = yield* attempt(() => promises.realpath([root, ...path].join("/")))
    if (place.startsWith(root.endsWith("/") ? root : `${root}/`)) return Option.some(place)
    yield* Effect.logWarning("a link that leads out of the shared folder is not followed").pipe(
      Effect.annotateLogs({ path: path.join("/") })
    )
    return Option.none()
  })

/** The folder of the configuration, on this file system. */
export const make = (node: OpenedFile.FolderFs) =>
  Effect.gen(function* () {
    const { sharedFolder } = yield* RelayConfig
    const hashes = yield* FileHashes.over(node)
    const fork = yield* FiberSet.makeRuntime()

    /** The answer's head is sent already: the caller only sees that the answer is cut off, and the log says why. */
    const tellCut = (place: string, cause: unknown) =>
      fork(
        Effect.logError("a file of the shared folder was cut off").pipe(
          Effect.annotateLogs({ place, error: diskError(cause).message })
        )
      )

    const describe = (place: string, file: OpenedFile.OpenedFile): FolderFile => ({
      size: file.size,
      modified: file.modified,
      etag: `${file.isAtRest ? "" : "W/"}"${file.version}"`,
      read: (range) => {
        const take: OpenedFile.Take = (piece, at) =>
          file.take(piece, at).catch((cause: unknown) => {
            tellCut(place, cause)
            throw cause
          })
        return OpenedFile.pieces(take, range)
      },
      hash: (algorithm) => hashes.of(place, file, algorithm)
    })

    return SharedFolder.of({
      open: (path) =>
        Effect.gen(function* () {
          const place = yield* OpenedFile.unlessAbsent(placeOf(node, sharedFolder.path, path))
          if (Option.isNone(place)) return Option.none()
          const file = yield* OpenedFile.unlessAbsent(OpenedFile.open(node, place.value))
          return Option.map(file, (opened) => describe(place.value, opened))
        }).pipe(
          Effect.catchTag("DiskError", StorageFailure.failed),
          Effect.withSpan("SharedFolder.open", { attributes: { path: path.join("/") } })
        )
    })
  })
