/**
 * The files that nodes share, on disk: a reader sees the old file or the new one, whole, and what was acknowledged is
 * there after a crash, content and metadata together.
 *
 * A file is written in `~tmp`, synced, and committed by an intent: a small record that says where content and metadata
 * belong. Once the intent is on the disk the pair is stored, whatever happens; a start completes what a stop cut off.
 */
import { createHash, randomUUID } from "node:crypto"
import { Clock, Context, Effect, Layer, Option, Schedule, Schema, type Scope } from "effect"
import { RelayConfig } from "../RelayConfig.ts"
import { StorageError, StorageFull } from "../RelayError.ts"
import type * as ContentHash from "./ContentHash.ts"
import { Disk, type DiskError, diskError } from "./Disk.ts"
import * as FileLocks from "./FileLocks.ts"
import { keyOf, type Location, metadataSuffix, temporary as temporaryFolder } from "./Location.ts"
import * as Metadata from "./Metadata.ts"
import { parseDate } from "./Scope.ts"
import { BadSignature } from "./SharedFileError.ts"

/** A file on its way in. Gone with its scope, unless it was committed. */
export interface Incoming {
  readonly write: (bytes: Uint8Array) => Promise<void>
  /** Content, size and modification time are on the disk afterwards. */
  readonly sync: (modified: number) => Promise<void>
  /** Its name among the temporary files. */
  readonly name: string
}

export interface SharedFileStoreService {
  /** A request to write this file begins, and ends with the scope: of several, the one that began last wins. */
  readonly turn: (location: Location) => Effect.Effect<FileLocks.Turn, never, Scope.Scope>
  /** `StorageFull` when less than `shared_files.min_free` would be left after `size` more bytes. */
  readonly checkRoom: (size: number) => Effect.Effect<void, StorageFull | StorageError>
  /** For a file that was accepted before every request of now, and waited elsewhere: whatever is stored meanwhile wins. */
  readonly pastTurn: (location: Location) => Effect.Effect<FileLocks.Turn, never, Scope.Scope>
  /** Whether what is stored was accepted later than this (milliseconds since 1970). What has scope, says so by itself. */
  readonly isLater: (
    location: Location,
    accepted: number
  ) => Effect.Effect<boolean, StorageFull | StorageError>
  readonly begin: Effect.Effect<Incoming, StorageFull | StorageError, Scope.Scope>
  /**
   * Stores it: on the disk when this returns. A file whose request began earlier than that of the one which is there
   * is acknowledged and dropped, as if it had been replaced. `BadSignature` (stale): the scope does not allow it.
   */
  readonly commit: (
    location: Location,
    turn: FileLocks.Turn,
    incoming: Incoming,
    metadata: Metadata.Metadata
  ) => Effect.Effect<void, BadSignature | StorageFull | StorageError>
  /** Whether this file is here with this content, and not expired. */
  readonly has: (location: Location, hash: ContentHash.ContentHash) => Effect.Effect<boolean, StorageError>
  /** What a failure of the disk means for who sent the file. */
  readonly errorOf: (error: DiskError) => StorageFull | StorageError
  /** Removes what has expired. */
  readonly cleanUp: Effect.Effect<void>
  /** What is wrong with the folder, if it can't be used. */
  readonly problem: Effect.Effect<Option.Option<string>>
}

export class SharedFileStore extends Context.Tag("rudder-relay/SharedFileStore")<
  SharedFileStore,
  SharedFileStoreService
>() {
  /** Completes or removes what a stop left, and cleans up every `shared_files.cleanup.frequency`. */
  static readonly layer = Layer.scoped(
    SharedFileStore,
    Effect.gen(function* () {
      const { sharedFiles } = yield* RelayConfig
      const store = yield* make
      yield* Effect.forkScoped(
        Effect.repeat(steadily(store.cleanUp), Schedule.spaced(sharedFiles.cleanupFrequency)).pipe(
          Effect.delay(sharedFiles.cleanupFrequency)
        )
      )
      return store
    })
  )
}

/** The time that a stored file's content has as its modification time. Milliseconds; none where an older relay stored it. */
const dateOf = ({ date }: Metadata.Metadata): Option.Option<number> => Option.flatMap(date, parseDate)

/** More files than this are not hashed at once for those who ask. */
const maxHashing = 2

const folderMode = 0o750
const fileMode = 0o640

const storageError = (error: DiskError): StorageError | StorageFull =>
  error.code === "ENOSPC" || error.code === "EDQUOT"
    ? new StorageFull({ message: "the disk is full" })
    : new StorageError({ message: error.message })

const onlyStorageError = (error: DiskError): StorageError => new StorageError({ message: error.message })

/** Which temporary files belong where. */
const Intent = Schema.parseJson(
  Schema.Struct({
    content: Schema.String,
    metadata: Schema.String,
    folders: Schema.Array(Schema.String),
    file: Schema.String
  })
)
type Intent = typeof Intent.Type
const encodeIntent = Schema.encodeSync(Intent)
const decodeIntent = Schema.decodeOption(Intent)

/**
 * A pass of clean-up, left out when the wall clock did not go as fast as the monotonic one since the last: what has
 * expired can't be known then.
 */
const steadily = (pass: Effect.Effect<void>): Effect.Effect<void> => {
  let before: { readonly wall: number; readonly monotonic: number } | undefined
  return Effect.gen(function* () {
    const now = {
      wall: yield* Clock.currentTimeMillis,
      monotonic: Number((yield* Clock.currentTimeNanos) / 1_000_000n)
    }
    const jump = before === undefined ? 0 : now.wall - before.wall - (now.monotonic - before.monotonic)
    before = now
    if (Math.abs(jump) <= 60_000) return yield* pass
    yield* Effect.logWarning("the clock jumped: no shared file is removed this time").pipe(
      Effect.annotateLogs({ milliseconds: Math.round(jump) })
    )
  })
}

export const make = Effect.gen(function* () {
  const { sharedFiles } = yield* RelayConfig
  const disk = yield* Disk
  const { path: root } = sharedFiles
  const temporary = `${root}/${temporaryFolder}`
  const locks = FileLocks.make()

  /** Makes what is missing of a path of folders below the root, each synced into its parent; follows no link. */
  const makeFolders = (names: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      let folder = root
      for (const name of names) {
        const parent = folder
        folder = `${folder}/${name}`
        const found = yield* disk.status(folder)
        if (found?.kind === "folder") continue
        if (found !== undefined) return yield* notAFolder(folder)
        yield* disk.makeFolder(folder, folderMode)
        yield* disk.syncFolder(parent)
      }
      return folder
    })

  /** The folder of a file, if all of it is there; undefined: not yet. */
  const findFolder = (names: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      let folder = root
      for (const name of names) {
        folder = `${folder}/${name}`
        const found = yield* disk.status(folder)
        if (found === undefined) return undefined
        if (found.kind !== "folder") return yield* notAFolder(folder)
      }
      return folder
    })

  const notAFolder = (path: string) =>
    Effect.logError("a link, or a file, is in the way of shared files; it is not followed").pipe(
      Effect.annotateLogs({ path }),
      Effect.andThen(new StorageError({ message: `${path} is not a folder` }))
    )

  /** What is there of a file; a link in its place is not followed. */
  const current = (folder: string, name: string) =>
    Effect.gen(function* () {
      const content = yield* disk.status(`${folder}/${name}`)
      if (content !== undefined && content.kind !== "file") return yield* notAFolder(`${folder}/${name}`)
      const text = yield* disk.readText(`${folder}/${name}${metadataSuffix}`)
      const metadata = text === undefined ? Option.none() : Metadata.parse(text)
      return content === undefined
        ? Option.none()
        : Option.map(metadata, (known) => ({ content, metadata: known }))
    })

  const removeTemporary = (name: string) => Effect.ignore(disk.remove(`${temporary}/${name}`))

  const begin = Effect.gen(function* () {
    const name = randomUUID()
    const file = yield* Effect.acquireRelease(disk.create(`${temporary}/${name}`, fileMode), (opened) =>
      Effect.promise(() => opened.close().catch(() => {})).pipe(Effect.andThen(removeUnlessIntended(name)))
    )
    return { write: file.write, sync: file.sync, name }
  }).pipe(Effect.mapError(storageError))

  /** What an intent names is its to move. */
  const intended = new Set<string>()
  const removeUnlessIntended = (name: string) =>
    Effect.suspend(() => (intended.has(name) ? Effect.void : removeTemporary(name)))

  const writeText = (name: string, text: string, modified: number) =>
    Effect.acquireUseRelease(
      disk.create(`${temporary}/${name}`, fileMode),
      (file) =>
        Effect.tryPromise({
          try: () => file.write(Buffer.from(text)).then(() => file.sync(modified)),
          catch: diskError
        }),
      (file) => Effect.promise(() => file.close().catch(() => {}))
    )

  /** Moves the pair into place. May be done again from the start: what was moved is moved already. */
  const complete = ({ content, metadata, folders, file }: Intent) =>
    Effect.gen(function* () {
      const folder = yield* makeFolders(folders)
      for (const [from, to] of [
        [content, file],
        [metadata, `${file}${metadataSuffix}`]
      ] as const)
        if ((yield* disk.status(`${temporary}/${from}`)) !== undefined)
          yield* disk.rename(`${temporary}/${from}`, `${folder}/${to}`)
      yield* disk.syncFolder(folder)
    })

  /** One intent for one file: a later one takes the place of one that could not be completed. */
  const intentName = (location: Location): string =>
    `${createHash("sha256").update(keyOf(location)).digest("hex")}.intent`

  const readIntent = (name: string) =>
    Effect.map(disk.readText(`${temporary}/${name}`), (text) =>
      Option.flatMap(Option.fromNullable(text), decodeIntent)
    )

  const forget = ({ content, metadata }: Intent) =>
    Effect.gen(function* () {
      intended.delete(content)
      yield* removeTemporary(content)
      yield* removeTemporary(metadata)
    })

  const store = (location: Location, incoming: Incoming, metadata: Metadata.Metadata) =>
    Effect.gen(function* () {
      const modified = Option.getOrElse(dateOf(metadata), () => 0)
      const { name } = incoming
      const record = intentName(location)
      const intent: Intent = { content: name, metadata: `${name}${metadataSuffix}`, ...location }
      const before = yield* Effect.gen(function* () {
        yield* Effect.tryPromise({ try: () => incoming.sync(modified), catch: diskError })
        yield* writeText(intent.metadata, Metadata.print(metadata), modified)
        yield* writeText(`${name}.new`, encodeIntent(intent), modified)
        const before = yield* readIntent(record)
        yield* disk.rename(`${temporary}/${name}.new`, `${temporary}/${record}`)
        return before
      }).pipe(Effect.onError(() => Effect.forEach([intent.metadata, `${name}.new`], removeTemporary)))
      intended.add(name)
      // Once the intent is on the disk the pair is stored, by this process or by the next. Where that is not sure, it is
      // left for the next start, or the next upload of this file, to decide.
      yield* disk.syncFolder(temporary)
      if (Option.isSome(before)) yield* forget(before.value)
      yield* complete(intent)
      yield* removeTemporary(record)
      intended.delete(name)
    }).pipe(Effect.uninterruptible)

  const commit: SharedFileStoreService["commit"] = (location, turn, incoming, metadata) =>
    Effect.gen(function* () {
      const folder = yield* findFolder(location.folders)
      const stored = folder === undefined ? Option.none() : yield* current(folder, location.file)
      if (Option.isSome(stored)) yield* checkScope(stored.value.metadata, metadata)
      yield* store(location, incoming, metadata)
    }).pipe(
      Effect.catchTag("DiskError", (error) => Effect.fail(storageError(error))),
      turn.write,
      Effect.withSpan("SharedFileStore.commit", { attributes: { file: keyOf(location) } })
    )

  const isLater: SharedFileStoreService["isLater"] = (location, accepted) =>
    Effect.gen(function* () {
      const folder = yield* findFolder(location.folders)
      const stored = folder === undefined ? Option.none() : yield* current(folder, location.file)
      return Option.exists(
        stored,
        ({ metadata }) =>
          Option.isNone(metadata.scope) && Option.exists(dateOf(metadata), (date) => date > accepted)
      )
    }).pipe(Effect.catchTag("DiskError", (error) => Effect.fail(storageError(error))))

  const hashing = Effect.unsafeMakeSemaphore(maxHashing)

  /** Whether a file's content has all of these hashes. */
  const hashesTo = (path: string, hashes: ReadonlyArray<ContentHash.ContentHash>) =>
    Effect.tryPromise({
      try: async () => {
        const made = hashes.map(({ algorithm, hex }) => ({ hash: createHash(algorithm), hex }))
        for await (const piece of disk.read(path)) for (const { hash } of made) hash.update(piece)
        return made.every(({ hash, hex }) => hash.digest("hex") === hex)
      },
      catch: diskError
    }).pipe(hashing.withPermits(1))

  const has: SharedFileStoreService["has"] = (location, asked) =>
    Effect.gen(function* () {
      const folder = yield* findFolder(location.folders)
      const found = folder === undefined ? Option.none() : yield* current(folder, location.file)
      if (folder === undefined || Option.isNone(found)) return false
      const { content, metadata } = found.value
      const now = yield* Clock.currentTimeMillis
      if (isExpired(metadata, now)) return false
      const isSame = metadata.hash.algorithm === asked.algorithm
      if (isSame && metadata.hash.hex !== asked.hex) return false
      const isUntouched =
        Option.contains(metadata.size, content.size) && Option.contains(dateOf(metadata), content.modified)
      if (isSame && isUntouched) return true
      return yield* hashesTo(`${folder}/${location.file}`, isSame ? [asked] : [asked, metadata.hash])
    }).pipe(
      Effect.catchTag("DiskError", (error) => Effect.fail(onlyStorageError(error))),
      locks.alone(keyOf(location)),
      Effect.withSpan("SharedFileStore.has", { attributes: { file: keyOf(location) } })
    )

  const checkRoom = (size: number) =>
    Effect.gen(function* () {
      const free = yield* Effect.mapError(disk.free(root), onlyStorageError)
      if (free - size < sharedFiles.minFree)
        return yield* new StorageFull({ message: "shared_files.min_free would not be left on the disk" })
    })

  /** Removes a file and its metadata, the content first: what is left of it after a stop vouches for nothing. */
  const removeExpired = (names: ReadonlyArray<string>, fileId: string, now: number) =>
    Effect.gen(function* () {
      const folder = [root, ...names].join("/")
      const text = yield* disk.readText(`${folder}/${fileId}${metadataSuffix}`)
      const metadata = text === undefined ? Option.none() : Metadata.parse(text)
      if (text !== undefined && Option.isNone(metadata)) return yield* unreadable(names, fileId)
      if (!Option.exists(metadata, (known) => isExpired(known, now))) return
      yield* disk.remove(`${folder}/${fileId}`)
      yield* disk.remove(`${folder}/${fileId}${metadataSuffix}`)
      yield* disk.syncFolder(folder)
      yield* Effect.logInfo("a shared file has expired").pipe(
        Effect.annotateLogs({ file: [...names, fileId].join("/") })
      )
    }).pipe(
      locks.alone([...names, fileId].join("/")),
      Effect.catchAll((error) => unreadable(names, fileId, error.message))
    )

  const unreadable = (names: ReadonlyArray<string>, fileId: string, error = "its metadata is none") =>
    Effect.logWarning("a shared file can't be looked at for its expiry").pipe(
      Effect.annotateLogs({ file: [...names, fileId].join("/"), error })
    )

  const cleanFolder = (names: ReadonlyArray<string>, now: number): Effect.Effect<void> =>
    Effect.gen(function* () {
      const entries = yield* disk.list([root, ...names].join("/"))
      for (const { name, kind } of entries) {
        if (kind === "folder" && !(names.length === 0 && name === temporaryFolder))
          yield* cleanFolder([...names, name], now)
        if (kind === "file" && name.endsWith(metadataSuffix))
          yield* removeExpired(names, name.slice(0, -metadataSuffix.length), now)
      }
    }).pipe(
      Effect.catchAll((error) =>
        Effect.logWarning("a folder of shared files can't be read").pipe(
          Effect.annotateLogs({ folder: names.join("/"), error: error.message })
        )
      )
    )

  const cleanUp = Effect.flatMap(Clock.currentTimeMillis, (now) => cleanFolder([], now)).pipe(
    Effect.withSpan("SharedFileStore.cleanUp")
  )

  /** Completes what was decided, and removes what was not. */
  const recover = Effect.gen(function* () {
    const records = (yield* disk.list(temporary)).filter(({ name }) => name.endsWith(".intent"))
    for (const { name } of records) {
      const intent = yield* readIntent(name)
      // What is in its way is logged; it stands in nobody else's.
      if (Option.isSome(intent))
        yield* Effect.catchTag(complete(intent.value), "StorageError", () => Effect.void)
      yield* disk.remove(`${temporary}/${name}`)
    }
    for (const { name } of yield* disk.list(temporary)) yield* disk.remove(`${temporary}/${name}`)
    yield* disk.syncFolder(temporary)
  })

  const ready = prepare(disk, root, temporary).pipe(Effect.andThen(recover))
  yield* Effect.catchAll(ready, (error) =>
    Effect.logError("the folder of shared files can't be used").pipe(
      Effect.annotateLogs({ path: root, error: error.message })
    )
  )
  return SharedFileStore.of({
    turn: (location) => locks.turn(keyOf(location)),
    pastTurn: (location) => locks.pastTurn(keyOf(location)),
    isLater,
    checkRoom,
    begin,
    commit,
    has,
    errorOf: storageError,
    cleanUp,
    problem: Effect.map(disk.status(temporary).pipe(Effect.option), (found) =>
      Option.liftPredicate(`${temporary} is not there`, () => Option.getOrUndefined(found)?.kind !== "folder")
    )
  })
})

/** Whether a file may take the place of one that is there: scope can't be taken back, and does not go back in time. */
export const checkScope = (
  stored: Metadata.Metadata,
  next: Metadata.Metadata
): Effect.Effect<void, BadSignature> => {
  const stale = (message: string) => new BadSignature({ message, reason: "stale" })
  if (Option.isNone(stored.scope)) return Effect.void
  if (Option.isNone(next.scope))
    return Effect.fail(stale("the stored file was sent with request-signature; so must be what replaces it"))
  const isOlder = Option.exists(Option.all([dateOf(next), dateOf(stored)]), ([one, other]) => one < other)
  return isOlder ? Effect.fail(stale("the stored file was signed later")) : Effect.void
}

const isExpired = ({ expires }: Metadata.Metadata, now: number): boolean =>
  Option.exists(expires, (time) => time * 1000 <= now)

/** The store's own folders, and those above them. */
const prepare = (disk: Disk["Type"], root: string, temporary: string) =>
  Effect.gen(function* () {
    const parts = root.split("/").filter((part) => part !== "")
    let folder = ""
    for (const part of parts) {
      folder = `${folder}/${part}`
      if ((yield* disk.status(folder)) === undefined) yield* disk.makeFolder(folder, folderMode)
    }
    yield* disk.makeFolder(temporary, folderMode)
    yield* disk.syncFolder(root)
  })
