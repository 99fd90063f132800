/**
 * The files that nodes share, on disk: a reader sees the old file or the new one, whole, and what was acknowledged is
 * there after a crash, content and metadata together.
 *
 * A file is written in `~tmp`, synced, and committed by an intent: a small record that says where content and metadata
 * belong. Once the intent is on the disk the pair is stored, whatever happens; a start completes what a stop cut off.
 */
import { createHash, randomUUID } from "node:crypto"
import { Clock, Context, Effect, Layer, Option, Schedule, Schema, type Scope } from "effect"
import { RelayConfig } from "../../config/RelayConfig.ts"
import type * as ContentHash from "../../disk/ContentHash.ts"
import { Disk, diskError, isNotOfItsKind, notOfItsKind } from "../../disk/Disk.ts"
import * as FileLocks from "../../disk/FileLocks.ts"
import * as Folders from "../../disk/Folders.ts"
import * as HashCheck from "../../disk/HashCheck.ts"
import * as Lease from "../../disk/Lease.ts"
import * as RoomWatch from "../../disk/RoomWatch.ts"
import * as StorageFailure from "../../disk/StorageFailure.ts"
import * as TextFile from "../../disk/TextFile.ts"
import { type StorageError, StorageFull } from "../../RelayError.ts"
import { keyOf, type Location, metadataSuffix } from "../file/Location.ts"
import * as Metadata from "../file/Metadata.ts"
import type { BadSignature } from "../file/SharedFileError.ts"
import * as Succession from "../file/Succession.ts"

/** A file on its way in. Gone with its scope, unless it was committed. */
export interface Incoming {
  /** Fails with `StorageFull` too: room is looked for again while a file comes. */
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
  readonly isLater: (location: Location, time: number) => Effect.Effect<boolean, StorageFull | StorageError>
  readonly begin: Effect.Effect<Incoming, StorageFull | StorageError, Scope.Scope>
  /**
   * Stores it: on the disk when this returns, with the metadata that it gives. A file whose request began earlier than that of the one which is there
   * is acknowledged and dropped, as if it had been replaced. `BadSignature` (stale): the scope does not allow it.
   */
  readonly commit: (
    location: Location,
    turn: FileLocks.Turn,
    incoming: Incoming,
    metadata: Metadata.Metadata
  ) => Effect.Effect<Metadata.Metadata, BadSignature | StorageFull | StorageError>
  /** Whether this file is here with this content, and not expired. */
  readonly has: (location: Location, hash: ContentHash.ContentHash) => Effect.Effect<boolean, StorageError>
  /** What a failure of the disk means for who sent the file. */
  readonly errorOf: (cause: unknown) => StorageFull | StorageError
  /** Removes what has expired. */
  readonly cleanUp: Effect.Effect<void>
  /** What is wrong with the folder, if it can't be used. */
  readonly problem: Effect.Effect<Option.Option<string>>
}

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
    Effect.gen(function* () {
      const { sharedFiles } = yield* RelayConfig
      const store = yield* make
      const pass = yield* steadily(store.cleanUp)
      yield* Effect.forkScoped(
        Effect.repeat(pass, Schedule.spaced(sharedFiles.cleanupFrequency)).pipe(
          Effect.delay(sharedFiles.cleanupFrequency)
        )
      )
      return store
    })
  )
}

const folderMode = 0o750
const fileMode = 0o640

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

const readClocks = Effect.gen(function* () {
  return {
    wall: yield* Clock.currentTimeMillis,
    monotonic: Number((yield* Clock.currentTimeNanos) / 1_000_000n)
  }
})

/**
 * A pass of clean-up, left out when the wall clock did not go as fast as the monotonic one since the last, or since
 * now: what has expired can't be known then.
 */
const steadily = (pass: Effect.Effect<void>): Effect.Effect<Effect.Effect<void>> =>
  Effect.map(readClocks, (start) => {
    let before = start
    return Effect.gen(function* () {
      const now = yield* readClocks
      const jump = now.wall - before.wall - (now.monotonic - before.monotonic)
      before = now
      if (Math.abs(jump) <= 60_000) return yield* pass
      yield* Effect.logWarning("the clock jumped: no shared file is removed this time").pipe(
        Effect.annotateLogs({ milliseconds: Math.round(jump) })
      )
    })
  })

export const make = Effect.gen(function* () {
  const { general, sharedFiles } = yield* RelayConfig
  const disk = yield* Disk
  const locks = FileLocks.make()
  const folders = Folders.make(disk, {
    root: sharedFiles.path,
    mode: folderMode,
    within: [Folders.temporaryName]
  })
  const { root, temporary } = folders
  const hashesTo = HashCheck.make()

  /** What is there of a file; a link in its place is not followed. */
  const current = (folder: string, name: string) =>
    Effect.gen(function* () {
      const content = yield* disk.status(`${folder}/${name}`)
      if (content !== undefined && content.kind !== "file") return yield* notOfItsKind(`${folder}/${name}`)
      const text = yield* disk.readText(`${folder}/${name}${metadataSuffix}`)
      const metadata = text === undefined ? Option.none() : Metadata.parse(text)
      return content === undefined
        ? Option.none()
        : Option.map(metadata, (known) => ({ content, metadata: known }))
    })

  const removeTemporary = (name: string) => Effect.ignore(disk.remove(`${temporary}/${name}`))

  const checkRoom = (size: number) =>
    Effect.gen(function* () {
      const free = yield* Effect.catchAll(folders.again(disk.free(root)), StorageFailure.failed)
      if (free - size < sharedFiles.minFree)
        return yield* new StorageFull({ message: "shared_files.min_free would not be left on the disk" })
    })
  const watchRoom = yield* RoomWatch.make(checkRoom)

  const begin = Effect.gen(function* () {
    const name = randomUUID()
    const create = folders.again(disk.create(`${temporary}/${name}`, fileMode))
    const file = yield* Effect.acquireRelease(create, (opened) =>
      Effect.promise(() => opened.close().catch(() => {})).pipe(Effect.andThen(removeUnlessIntended(name)))
    )
    const write = async (bytes: Uint8Array) => {
      await watchRoom(bytes.length)
      await file.write(bytes)
    }
    return { write, sync: file.sync, name }
  }).pipe(Effect.catchAll(StorageFailure.failedToWrite))

  /** What an intent names is its to move. */
  const intended = new Set<string>()
  const removeUnlessIntended = (name: string) =>
    Effect.suspend(() => (intended.delete(name) ? Effect.void : removeTemporary(name)))

  const writeText = (name: string, text: string, modified: number) =>
    TextFile.write(disk, `${temporary}/${name}`, text, { mode: fileMode, synced: modified })

  /** Whether there may be an intent that was not completed: an upload cut off by the disk, or by a stop. */
  let isUnsettled = true

  /** Moves the pair into place. */
  const complete = ({ content, metadata, file }: Intent, folder: string) =>
    Effect.gen(function* () {
      yield* disk.rename(`${temporary}/${content}`, `${folder}/${file}`)
      yield* disk.rename(`${temporary}/${metadata}`, `${folder}/${file}${metadataSuffix}`)
      yield* disk.syncFolder(folder)
    })

  /**
   * Does what is left of that: a stop may have kept either move without the other. Of an intent that was taken back, it
   * may have kept one of the pair, which belongs to nothing.
   */
  const resume = ({ content, metadata, file }: Intent, folder: string) =>
    Effect.gen(function* () {
      const moves = [
        { from: `${temporary}/${content}`, to: `${folder}/${file}` },
        { from: `${temporary}/${metadata}`, to: `${folder}/${file}${metadataSuffix}` }
      ] as const
      const left = yield* Effect.filter(moves, ({ from }) =>
        Effect.map(disk.status(from), (found) => found !== undefined)
      )
      const placeOf = (move: (typeof moves)[number]) => (left.includes(move) ? move.from : move.to)
      if (left.length !== 1 || (yield* belongTogether(placeOf(moves[0]), placeOf(moves[1]))))
        for (const { from, to } of left) yield* disk.rename(from, to)
      yield* disk.syncFolder(folder)
    })

  const belongTogether = (content: string, metadata: string) =>
    Effect.gen(function* () {
      const known = Option.flatMap(Option.fromNullable(yield* disk.readText(metadata)), Metadata.parse)
      if (Option.isNone(known) || (yield* disk.status(content))?.kind !== "file") return false
      return yield* hashesTo(disk.read(content), [known.value.hash])
    })

  /** One intent for one file. */
  const intentName = (location: Location): string =>
    `${createHash("sha256").update(keyOf(location)).digest("hex")}.intent`

  const readIntent = (name: string) =>
    Effect.map(disk.readText(`${temporary}/${name}`), (text) =>
      Option.flatMap(Option.fromNullable(text), decodeIntent)
    )

  /** Completes what an earlier upload of this file, or of a process that stopped, decided. Alone with the file. */
  const settle = (name: string) =>
    Effect.gen(function* () {
      const intent = yield* readIntent(name)
      if (Option.isNone(intent)) return
      // It has to be on the disk before a part of the pair moves: a stop between the two would part them.
      yield* disk.syncFolder(temporary)
      yield* resume(intent.value, yield* folders.make(intent.value.folders))
      for (const part of [name, intent.value.content, intent.value.metadata])
        yield* disk.remove(`${temporary}/${part}`)
    })

  const settled = (location: Location) =>
    Effect.suspend(() => (isUnsettled ? settle(intentName(location)) : Effect.void))

  /** Writes down what is to be moved where; on the disk, but for the record's name, when this returns. */
  const prepareIntent = (location: Location, { name, sync }: Incoming, metadata: Metadata.Metadata) =>
    Effect.gen(function* () {
      const modified = Option.getOrElse(Metadata.dateOf(metadata), () => 0)
      const intent: Intent = { content: name, metadata: `${name}${metadataSuffix}`, ...location }
      yield* Effect.tryPromise({ try: () => sync(modified), catch: diskError })
      yield* writeText(intent.metadata, Metadata.print(metadata), modified)
      yield* writeText(`${name}.new`, encodeIntent(intent), modified)
      return intent
    }).pipe(
      Effect.onError(() => Effect.forEach([`${name}${metadataSuffix}`, `${name}.new`], removeTemporary))
    )

  /**
   * What could not be completed is taken back, while nothing of it is in its place. Where that can't be either, it is
   * completed by whoever is next at the file, or by the next start.
   */
  const takeBack = (record: string, intent: Intent) =>
    Effect.gen(function* () {
      isUnsettled = true
      if ((yield* disk.status(`${temporary}/${intent.content}`)) === undefined) return
      yield* disk.remove(`${temporary}/${record}`)
      intended.delete(intent.content)
      for (const name of [intent.metadata, `${intent.content}.new`]) yield* removeTemporary(name)
      yield* disk.syncFolder(temporary)
    }).pipe(Effect.ignore)

  const store = (location: Location, folder: string, incoming: Incoming, metadata: Metadata.Metadata) =>
    Effect.gen(function* () {
      const record = intentName(location)
      const intent = yield* prepareIntent(location, incoming, metadata)
      intended.add(intent.content)
      yield* Effect.gen(function* () {
        yield* disk.rename(`${temporary}/${intent.content}.new`, `${temporary}/${record}`)
        // Once the intent is on the disk the pair is stored, by this process or by the next.
        yield* disk.syncFolder(temporary)
        yield* complete(intent, folder)
      }).pipe(Effect.onError(() => takeBack(record, intent)))
      yield* removeTemporary(record)
    }).pipe(Effect.uninterruptible)

  const commit: SharedFileStoreService["commit"] = (location, turn, incoming, metadata) =>
    Effect.gen(function* () {
      let kept = metadata
      yield* turn.write(
        Effect.gen(function* () {
          yield* settled(location)
          const folder = yield* folders.make(location.folders)
          const stored = yield* current(folder, location.file)
          if (Option.isSome(stored)) kept = yield* Succession.succeed(stored.value.metadata, metadata)
          yield* store(location, folder, incoming, kept)
        })
      )
      return kept
    }).pipe(
      Effect.catchTag("DiskError", StorageFailure.failedToWrite),
      Effect.withSpan("SharedFileStore.commit", { attributes: { file: keyOf(location) } })
    )

  const isLater: SharedFileStoreService["isLater"] = (location, time) =>
    Effect.gen(function* () {
      yield* settled(location)
      const folder = yield* folders.find(location.folders)
      const stored = folder === undefined ? Option.none() : yield* current(folder, location.file)
      return Option.exists(
        stored,
        ({ metadata }) =>
          Option.isNone(metadata.scope) && Option.exists(Metadata.dateOf(metadata), (date) => date > time)
      )
    }).pipe(Effect.catchTag("DiskError", StorageFailure.failedToWrite), locks.alone(keyOf(location)))

  const has: SharedFileStoreService["has"] = (location, asked) =>
    Effect.gen(function* () {
      yield* settled(location)
      const folder = yield* folders.find(location.folders)
      const found = folder === undefined ? Option.none() : yield* current(folder, location.file)
      if (folder === undefined || Option.isNone(found)) return false
      const { content, metadata } = found.value
      const now = yield* Clock.currentTimeMillis
      if (isExpired(metadata, now)) return false
      const isSame = metadata.hash.algorithm === asked.algorithm
      if (isSame && metadata.hash.hex !== asked.hex) return false
      const isUntouched =
        Option.contains(metadata.size, content.size) &&
        Option.contains(Metadata.dateOf(metadata), content.modified)
      if (isSame && isUntouched) return true
      return yield* hashesTo(
        disk.read(`${folder}/${location.file}`),
        isSame ? [asked] : [asked, metadata.hash]
      )
    }).pipe(
      Effect.catchTag("DiskError", StorageFailure.failed),
      locks.alone(keyOf(location)),
      Effect.withSpan("SharedFileStore.has", { attributes: { file: keyOf(location) } })
    )

  /**
   * Removes a file and its metadata, the content first: what is left of it after a stop vouches for nothing, and goes
   * with the next pass.
   */
  const removeExpired = (names: ReadonlyArray<string>, fileId: string, now: number) =>
    Effect.gen(function* () {
      yield* settled({ folders: names, file: fileId })
      const folder = [root, ...names].join("/")
      const text = yield* disk.readText(`${folder}/${fileId}${metadataSuffix}`)
      const metadata = text === undefined ? Option.none() : Metadata.parse(text)
      if (text !== undefined && Option.isNone(metadata)) return yield* unreadable(names, fileId)
      if (!Option.exists(metadata, (known) => isExpired(known, now))) return
      yield* disk.remove(`${folder}/${fileId}`)
      yield* disk.syncFolder(folder)
      yield* disk.remove(`${folder}/${fileId}${metadataSuffix}`)
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
        if (kind === "folder" && !(names.length === 0 && name === Folders.temporaryName))
          yield* cleanFolder([...names, name], now)
        const fileId = name.slice(0, -metadataSuffix.length)
        if (kind !== "folder" && name.endsWith(metadataSuffix)) yield* removeExpired(names, fileId, now)
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

  /** Whether nothing is left to do about an intent: what has something in its way is given up. */
  const recoverIntent = (name: string) =>
    settle(name).pipe(
      Effect.as(true),
      Effect.catchAll((error) => {
        const log = isNotOfItsKind(error)
          ? Effect.logError("a shared file can't be completed, and is given up")
          : Effect.logError("a shared file can't be completed; the next who asks for it tries again")
        return log.pipe(
          Effect.annotateLogs({ intent: name, error: error.message }),
          Effect.as(isNotOfItsKind(error))
        )
      })
    )

  /** Completes what was decided, and removes what was not. */
  const recover = Effect.gen(function* () {
    const records = (yield* disk.list(temporary)).filter(({ name }) => name.endsWith(".intent"))
    const done = yield* Effect.forEach(records, ({ name }) => recoverIntent(name))
    if (done.includes(false)) return
    yield* folders.emptyTemporary
    yield* disk.syncFolder(temporary)
    isUnsettled = false
  })

  yield* Lease.hold(folders, general.shutdownGrace)
  yield* Effect.catchAll(recover, (error) =>
    Effect.logError("what a stop left of shared files can't be completed or removed").pipe(
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
    errorOf: (cause) => (cause instanceof StorageFull ? cause : StorageFailure.writeError(diskError(cause))),
    cleanUp,
    problem: Folders.problem(disk, folders)
  })
})

const isExpired = ({ expires }: Metadata.Metadata, now: number): boolean =>
  Option.exists(expires, (time) => time * 1000 <= now)
