/**
 * The files that nodes share, on disk: a reader sees the old file or the new one, whole, and what was acknowledged is
 * there after a crash, content and metadata together.
 *
 * A file is written in `~tmp`, synced, and committed by an intent (`Intents`).
 */
import { randomBytes } from "node:crypto"
import { Cause, Context, Effect, Either, Layer, Option, Schedule, type Scope } from "effect"
import * as AtOnce from "../../AtOnce.ts"
import { RelayConfig } from "../../config/RelayConfig.ts"
import type * as ContentHash from "../../disk/ContentHash.ts"
import { Disk, type DiskError, notOfItsKind } from "../../disk/Disk.ts"
import * as FileLocks from "../../disk/FileLocks.ts"
import * as Folders from "../../disk/Folders.ts"
import * as FreeSpace from "../../disk/FreeSpace.ts"
import * as HashCheck from "../../disk/HashCheck.ts"
import * as Incoming from "../../disk/Incoming.ts"
import * as Lease from "../../disk/Lease.ts"
import * as Looks from "../../disk/Looks.ts"
import * as RoomWatch from "../../disk/RoomWatch.ts"
import * as StorageFailure from "../../disk/StorageFailure.ts"
import type { Batch } from "../../EventLoop.ts"
import { type StorageError, StorageFull } from "../../RelayError.ts"
import * as Span from "../../Span.ts"
import { keyOf, type Location, metadataSuffix } from "../file/Location.ts"
import * as Metadata from "../file/Metadata.ts"
import type { BadSignature } from "../file/SharedFileError.ts"
import * as Succession from "../file/Succession.ts"
import * as ContentCheck from "./ContentCheck.ts"
import * as Expiry from "./Expiry.ts"
import * as Intents from "./Intents.ts"
import * as KnownMetadata from "./KnownMetadata.ts"
import * as StoredList from "./StoredList.ts"

/** What can be done with stored files. */
export interface SharedFileStoreService {
  /**
   * The turn of a request that begins now to write this file, until the Effect scope ends: the request that began last
   * wins.
   */
  readonly turn: (location: Location) => Effect.Effect<FileLocks.Turn, never, Scope.Scope>
  /** The turn of a file that was accepted before every request of now, and waited elsewhere: what is stored meanwhile wins. */
  readonly pastTurn: (location: Location) => Effect.Effect<FileLocks.Turn, never, Scope.Scope>
  /**
   * Whether what is stored was accepted later than this (milliseconds since 1970). False for a file with a signed scope:
   * its own date decides, when another is committed in its place.
   */
  readonly isLater: (location: Location, time: number) => Effect.Effect<boolean, StorageFull | StorageError>
  /** `StorageFull` when less than `shared_files.min_free` would be left after `size` more bytes. */
  readonly checkRoom: (size: number) => Effect.Effect<void, StorageFull | StorageError>
  /** A file on its way in: gone with its scope, unless it was committed. */
  readonly begin: Effect.Effect<Incoming.Incoming, StorageFull | StorageError, Scope.Scope>
  /**
   * Stores a file: on the disk when this returns, with the metadata that this gives. Where a file is there whose request
   * began later, the new file is acknowledged and dropped, as if it had been replaced. `BadSignature` (stale): the signed
   * scope of the file that is there does not allow it.
   *
   * @param batch of uploads that share their looks at folders
   */
  readonly commit: (
    location: Location,
    turn: FileLocks.Turn,
    incoming: Incoming.Incoming,
    metadata: Metadata.Metadata,
    batch?: Batch
  ) => Effect.Effect<Metadata.Metadata, BadSignature | StorageFull | StorageError>
  /** Whether this file is here with this content, and not expired. */
  readonly has: (location: Location, hash: ContentHash.ContentHash) => Effect.Effect<boolean, StorageError>
  /**
   * The same by plain calls of what this gives, each of which looks at the disk, or those of a batch together; undefined, or
   * absent: it takes more than a look, and `has` says it.
   */
  readonly lookAt?: (
    location: Location,
    hash: ContentHash.ContentHash
  ) => (batch?: Batch) => boolean | undefined
  /** What is stored, in the order of its folders. A file without its metadata, or the other way round, is none. */
  readonly list: (selection: StoredList.StoredSelection) => Effect.Effect<StoredList.StoredPage, StorageError>
  /**
   * Removes a file with its metadata: gone from the disk when this returns. An upload that began before, and has not ended
   * yet, is acknowledged and dropped, as if it had been removed too. False where there was nothing, and nothing is dropped.
   */
  readonly remove: (location: Location) => Effect.Effect<boolean, StorageError | StorageFull>
  /** Removes what has expired. */
  readonly cleanUp: Effect.Effect<void>
  /** What is wrong with the folder, if it can't be used. */
  readonly problem: Effect.Effect<Option.Option<string>>
}

/** The store; `layer` keeps it on the disk that is provided. */
export class SharedFileStore extends Context.Tag("rudder-relay/SharedFileStore")<
  SharedFileStore,
  SharedFileStoreService
>() {
  /**
   * Completes or removes what a stop left, and cleans up every `shared_files.cleanup.frequency`. `FolderUnusable`: it
   * can't be made, written, or had for this relay alone.
   */
  static readonly layer = Layer.scoped(
    SharedFileStore,
    Effect.suspend(() => tidied)
  )
}

const folderMode = 0o750
const fileMode = 0o640

/** A file of so many bytes is written by its commit, in one piece. */
const mostHeld = 64 * 1024

/** What the store is made of. */
interface Parts extends ContentCheck.Parts {
  readonly looksOf: (batch: Batch | undefined) => Looks.Looks | undefined
}

/** What `SharedFileStore.layer` has. */
export const tidied = Effect.gen(function* () {
  const { sharedFiles } = yield* RelayConfig
  const store = yield* make
  const cleanUp = yield* Expiry.steadily(store.cleanUp)
  yield* Effect.forkScoped(
    Effect.repeat(cleanUp, Schedule.spaced(sharedFiles.cleanupFrequency)).pipe(
      Effect.delay(sharedFiles.cleanupFrequency)
    )
  )
  return store
})

/** The store of the configuration, without its regular clean-up. */
export const make = Effect.gen(function* () {
  const { general, sharedFiles } = yield* RelayConfig
  const disk = yield* Disk
  const clock = yield* Effect.clock
  const locks = FileLocks.make()
  const hashesTo = HashCheck.make()
  const folders = Folders.make(disk, {
    root: sharedFiles.path,
    mode: folderMode,
    within: [Folders.temporaryName],
    now: () => clock.unsafeCurrentTimeMillis()
  })
  const intents = Intents.make({ disk, folders, hashesTo, fileMode })
  const looksOf = Looks.ofBatches(disk, () => clock.unsafeCurrentTimeMillis())
  const parts: Parts = { disk, folders, locks, hashesTo, intents, known: KnownMetadata.make(disk), looksOf }
  const free = FreeSpace.make(folders.again(disk.free(folders.root)))
  const checkRoom = checkFree(free, sharedFiles.minFree, () => clock.unsafeCurrentTimeMillis())
  const watchRoom = RoomWatch.make((size) => {
    free.forget()
    return checkRoom(size)
  })
  yield* Lease.hold(folders, general.shutdownGrace)
  yield* Effect.catchAll(intents.recover, (error) =>
    Effect.logError("what a stop left of shared files can't be completed or removed").pipe(
      Effect.annotateLogs({ path: folders.root, error: error.message })
    )
  )
  yield* Effect.forkScoped(intents.mend(locks.alone))
  return SharedFileStore.of({
    turn: (location) => locks.turn(keyOf(location)),
    pastTurn: (location) => locks.pastTurn(keyOf(location)),
    isLater: (location, time) => isLater(parts, location, time),
    checkRoom,
    begin: begin(parts, watchRoom),
    commit: (...file) => commit(parts, ...file),
    has: (location, hash) => ContentCheck.has(parts, location, hash),
    lookAt: (location, hash) => {
      const look = ContentCheck.lookAt(parts, location, hash)
      return (batch) => look(clock.unsafeCurrentTimeMillis(), looksOf(batch))
    },
    list: (selection) =>
      Effect.catchTag(
        StoredList.page({ disk, root: folders.root, look: (location) => look(parts, location) }, selection),
        "DiskError",
        StorageFailure.failed
      ),
    remove: (location) => remove(parts, location),
    cleanUp: Expiry.cleanUp({ disk, root: folders.root, locks, complete: intents.complete }),
    problem: Folders.problem(disk, folders)
  })
})

/** Whether this many bytes stay free, after so many more: known with the call, as a rule. @param now milliseconds since 1970 */
const checkFree =
  (free: FreeSpace.FreeSpace<DiskError>, minFree: number, now: () => number) =>
  (size: number): Effect.Effect<void, StorageFull | StorageError> => {
    const enough = (bytes: number) => (bytes - size < minFree ? full : Effect.void)
    const known = free.known(size, minFree, now())
    if (known !== undefined) return enough(known)
    return Effect.matchEffect(free.beside(size, minFree), {
      onFailure: StorageFailure.failed,
      onSuccess: enough
    })
  }

const full = Effect.suspend(
  () => new StorageFull({ message: "shared_files.min_free would not be left on the disk" })
)

const begin = (
  { disk, folders, intents }: Parts,
  room: RoomWatch.RoomWatch<StorageFull | StorageError>
): SharedFileStoreService["begin"] => {
  // Another one than those that the process before this one has left.
  const own = randomBytes(9).toString("base64url")
  let count = 0
  return Effect.suspend(() => {
    const name = `${own}.${++count}`
    const create = Effect.suspend(() => folders.again(disk.create(`${folders.temporary}/${name}`, fileMode)))
    return Incoming.open(name, create, room, {
      mostHeld,
      discard: (_, mayBeThere) => intents.discard(name, mayBeThere)
    })
  })
}

/** A file, if it is there; a link in its place is not followed. */
const contentAt = ({ disk }: Parts, path: string) =>
  Effect.flatMap(disk.status(path), (content) =>
    content === undefined || content.kind === "file" ? Effect.succeed(content) : notOfItsKind(path)
  )

/**
 * What is known of a file that is there. Its metadata is looked at by this call: a content without one is none, whatever it
 * is, and a commit looks at its place itself.
 */
const current = (
  { disk }: Parts,
  folder: string,
  name: string
): Effect.Effect<Option.Option<Metadata.Metadata>, DiskError> => {
  const [path, beside] = [`${folder}/${name}`, `${folder}/${name}${metadataSuffix}`]
  const metadata = disk.look(beside)
  if (Either.isLeft(metadata)) return metadata.left
  if (metadata.right === undefined) return nothing
  if (metadata.right.kind !== "file") return notOfItsKind(beside)
  const content = disk.look(path)
  if (Either.isLeft(content)) return content.left
  // To open what is not there costs more than to look.
  if (content.right === undefined) return nothing
  if (content.right.kind !== "file") return notOfItsKind(path)
  return Effect.map(disk.readText(beside), (text) =>
    Option.flatMap(Option.fromNullable(text), Metadata.parse)
  )
}

const nothing = Effect.succeed(Option.none<Metadata.Metadata>())

type Stored = Effect.Effect<void, BadSignature | DiskError>

const commit = (
  parts: Parts,
  ...[location, turn, incoming, metadata, batch]: Parameters<SharedFileStoreService["commit"]>
) =>
  Effect.suspend(() => {
    const { folders, intents } = parts
    let kept = metadata
    const store = (folder: string) =>
      AtOnce.flatMap(current(parts, folder, location.file), (before): Stored => {
        if (Option.isNone(before)) return intents.store(location, folder, incoming, metadata)
        const succeeding = Succession.succeed(before.value, metadata)
        if (Either.isLeft(succeeding)) return succeeding.left
        kept = succeeding.right
        return intents.store(location, folder, incoming, kept)
      })
    const writing = Effect.suspend(() => {
      const isLeft = intents.mayBeLeft(() => keyOf(location))
      const folder = isLeft ? undefined : folders.made(location.folders, parts.looksOf(batch))
      if (folder !== undefined) return store(folder)
      const making = folders.make(location.folders)
      return Effect.flatMap(isLeft ? Effect.andThen(intents.complete(location), making) : making, store)
    })
    return AtOnce.map(turn.write(writing), () => kept)
  }).pipe(
    Effect.catchTag("DiskError", StorageFailure.failedToWrite),
    Span.within("SharedFileStore.commit", () => ({ file: keyOf(location) }))
  )

const isLater = (parts: Parts, location: Location, time: number) =>
  Effect.gen(function* () {
    yield* parts.intents.complete(location)
    const folder = yield* parts.folders.find(location.folders)
    if (folder === undefined) return false
    const metadata = Option.filter(yield* current(parts, folder, location.file), ({ scope }) =>
      Option.isNone(scope)
    )
    return Option.exists(Option.flatMap(metadata, Metadata.dateOf), (date) => date > time)
  }).pipe(Effect.catchTag("DiskError", StorageFailure.failedToWrite), parts.locks.alone(keyOf(location)))

/** A file as the list has it. One that can't be looked at is told in the log, and left out. */
const look = (parts: Parts, location: Location): Effect.Effect<Option.Option<StoredList.StoredFile>> =>
  Effect.gen(function* () {
    yield* parts.intents.complete(location)
    const folder = yield* parts.folders.find(location.folders)
    if (folder === undefined) return Option.none()
    const content = yield* contentAt(parts, `${folder}/${location.file}`)
    const metadata = yield* current(parts, folder, location.file)
    return Option.map(
      Option.all({ content: Option.fromNullable(content), metadata }),
      ({ content: { size }, metadata: { date, expires } }) => ({ location, size, date, expires })
    )
  }).pipe(
    Effect.catchAll((error) =>
      Effect.logWarning("a shared file can't be looked at").pipe(
        Effect.annotateLogs({ file: keyOf(location), error: error.message }),
        Effect.as(Option.none())
      )
    ),
    parts.locks.alone(keyOf(location))
  )

/** Removes what there is of a file; false: nothing. */
const removePair = ({ disk, intents, folders }: Parts, location: Location) =>
  Effect.gen(function* () {
    yield* intents.complete(location)
    const folder = yield* folders.find(location.folders)
    if (folder === undefined) return false
    const names: Array<string> = []
    for (const suffix of ["", metadataSuffix]) {
      const name = `${location.file}${suffix}`
      const status = yield* disk.status(`${folder}/${name}`)
      // A folder of this name is a node's, which no file is.
      if (status === undefined || status.kind === "folder") continue
      if (status.kind !== "file") return yield* notOfItsKind(`${folder}/${name}`)
      names.push(name)
    }
    yield* Expiry.removeFiles(disk, folder, names)
    return names.length > 0
  }).pipe(Effect.uninterruptible)

/** A turn in which nothing is written: an upload that began before is not behind it. */
const nothingWritten = Effect.fail(new Cause.NoSuchElementException())

const remove = (parts: Parts, location: Location) =>
  Effect.gen(function* () {
    const turn = yield* parts.locks.turn(keyOf(location))
    let found = false
    const removal = Effect.flatMap(removePair(parts, location), (removed) => {
      found = removed
      return removed ? Effect.void : nothingWritten
    })
    yield* Effect.catchTag(turn.write(removal), "NoSuchElementException", () => Effect.void)
    return found
  }).pipe(
    Effect.scoped,
    Effect.catchTag("DiskError", StorageFailure.failedToWrite),
    Span.within("SharedFileStore.remove", () => ({ file: keyOf(location) }))
  )
