/** The hashes of files of the shared folder, each made once for all who ask, as long as the file stays the same. */
import { Cache, Data, Duration, Effect, Exit, Fiber, Option, type Scope } from "effect"
import type { HashAlgorithm } from "../disk/ContentHash.ts"
import { Hasher, type HasherService } from "../disk/Hasher.ts"
import { attempt } from "../disk/NodeFs.ts"
import * as StorageFailure from "../disk/StorageFailure.ts"
import * as Permits from "../Permits.ts"
import type { StorageError } from "../RelayError.ts"
import * as OpenedFile from "./OpenedFile.ts"

/** In hex; none where the file changed meanwhile. */
export type FileHash = Effect.Effect<Option.Option<string>, StorageError>

/** Hashes of the files of one file system. */
export interface FileHashes {
  /** The hash of the file that is open at this place. */
  readonly of: (place: string, file: OpenedFile.OpenedFile, algorithm: HashAlgorithm) => FileHash
}

/** Bytes that are read at once for a hash. */
const hashedAtOnce = 512 * 1024
/** More files than this are not hashed at once. */
const maxHashing = 2
/** So many hashes are remembered: many nodes ask for the same few files. */
const maxHashes = 1000

/** One content of one file. */
class Content extends Data.Class<{
  readonly place: string
  readonly version: string
  readonly algorithm: HashAlgorithm
}> {}

const digest = (hasher: HasherService, { take, size }: OpenedFile.OpenedFile, algorithm: HashAlgorithm) =>
  Effect.gen(function* () {
    const hash = yield* hasher.begin(algorithm)
    const block = new Uint8Array(new SharedArrayBuffer(Math.max(1, Math.min(hashedAtOnce, size))))
    for (let at = 0; at < size; ) {
      const room = block.subarray(0, Math.min(block.length, size - at))
      const from = at
      const length = yield* attempt(() => take(room, from))
      yield* Effect.flatten(hash.update(room.subarray(0, length)))
      at += length
    }
    return (yield* hash.digest(new Uint8Array())).toString("hex")
  })

/** Opens the file by itself, since its hash may be wanted after the one who asked first has left. */
const make = (
  hasher: HasherService,
  node: OpenedFile.FolderFs,
  { place, version, algorithm }: Content
): FileHash =>
  Effect.gen(function* () {
    const before = yield* OpenedFile.open(node, place)
    if (Option.isNone(before) || before.value.version !== version) return Option.none()
    const hash = yield* digest(hasher, before.value, algorithm)
    const after = yield* OpenedFile.open(node, place)
    return Option.exists(after, (file) => file.version === version) ? Option.some(hash) : Option.none()
  }).pipe(
    Effect.scoped,
    OpenedFile.unlessAbsent,
    Effect.catchAll(StorageFailure.failed),
    Effect.withSpan("SharedFolder.hash", { attributes: { place } })
  )

/** The hashes of files of this file system; what is under way ends with the scope. */
export const over = (node: OpenedFile.FolderFs): Effect.Effect<FileHashes, never, Hasher | Scope.Scope> =>
  Effect.gen(function* () {
    const hasher = yield* Hasher
    const scope = yield* Effect.scope
    const hashing = Permits.make(maxHashing)
    const hashOf = (content: Content) => hashing(make(hasher, node, content))
    const hashes = yield* Cache.makeWith({
      capacity: maxHashes,
      lookup: hashOf,
      timeToLive: Exit.match({ onFailure: () => Duration.zero, onSuccess: () => Duration.infinity })
    })
    return {
      of: (place, { version, isAtRest }, algorithm) => {
        const content = new Content({ place, version, algorithm })
        if (!isAtRest) return hashOf(content)
        // Several callers wait for one hash: none of them ends it by leaving.
        return Effect.flatMap(Effect.forkIn(hashes.get(content), scope), Fiber.join)
      }
    }
  })
