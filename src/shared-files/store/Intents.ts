/**
 * How content and metadata of a file get to their place together. An intent, a small record in `~tmp` (`IntentLog`), says
 * where both belong. Once the two and the record are on the disk the pair is stored, whatever happens; a start completes
 * what a stop cut off, and drops what was not all on the disk.
 */
import { Effect, Either, Option, Schedule, Schema } from "effect"
import { type DiskError, type DiskService, type DiskStep, isNotOfItsKind } from "../../disk/Disk.ts"
import { type Folders, isMissing } from "../../disk/Folders.ts"
import type { HashCheck } from "../../disk/HashCheck.ts"
import type { Incoming } from "../../disk/Incoming.ts"
import * as Permits from "../../Permits.ts"
import { keyOf, type Location, metadataSuffix } from "../file/Location.ts"
import * as Metadata from "../file/Metadata.ts"
import * as IntentLog from "./IntentLog.ts"

/** The intents of one store. */
export interface Intents {
  /**
   * Whether there may be one of this file (`keyOf`, asked for where there is any) that is not completed: then it is not
   * looked at before that.
   */
  readonly mayBeLeft: (key: () => string) => boolean
  /**
   * Completes what an earlier upload of this file, or of a process that stopped, decided. To be done before anything else
   * with a file, alone with it.
   */
  readonly complete: (location: Location) => Effect.Effect<void, DiskError>
  /**
   * Stores a file in a folder, which is there: on the disk when this returns. To be done alone with the file. Where this
   * fails nothing of it is stored, or all of it is, by whoever is next at the file or by the next start.
   */
  readonly store: (
    location: Location,
    folder: string,
    incoming: Incoming,
    metadata: Metadata.Metadata
  ) => Effect.Effect<void, DiskError>
  /**
   * What removes the file of a content that came in, if it `mayBeThere`, unless it was stored or may still be: then there is
   * nothing to remove.
   */
  readonly discard: (name: string, mayBeThere: boolean) => Effect.Effect<void> | undefined
  /** Completes what was decided before this start, and removes what was not. */
  readonly recover: Effect.Effect<void, DiskError>
  /**
   * Tries what can't be ended again and again, and never ends: as long as something is left every check of that file takes
   * the long way.
   *
   * @param alone does it alone with the file of this key
   */
  readonly mend: (
    alone: (key: string) => (effect: Effect.Effect<void, DiskError>) => Effect.Effect<void, DiskError>
  ) => Effect.Effect<never>
}

/** When it is tried again. */
export const mendSchedule = Schedule.union(Schedule.exponential("1 second"), Schedule.spaced("1 minute"))

/** Which temporary files belong where. */
const Intent = Schema.parseJson(
  Schema.Struct({
    content: Schema.String,
    metadata: Schema.String,
    folders: Schema.Array(Schema.String),
    file: Schema.String,
    /** Of the metadata's text. Older relays did not note it: they had both files on the disk before the record. */
    check: Schema.optional(Schema.Number)
  })
)
type Intent = typeof Intent.Type
const decodeIntent = Schema.decodeOption(Intent)

/** Of the record of one intent, as older relays left it. */
const olderSuffix = ".intent"

/** What intents are kept with. */
interface Parts {
  readonly disk: DiskService
  readonly folders: Folders
  readonly hashesTo: HashCheck
  /** Of the temporary files. */
  readonly fileMode: number
  readonly log: IntentLog.IntentLog
  /** Contents that an intent names: these are the intent's to move. */
  readonly intended: Set<string>
  /** What ends the intents that have not ended, by their files. */
  readonly left: Map<string, Effect.Effect<void, DiskError>>
  /** Whether it is not known yet what the process before this one left. */
  isUnread: boolean
  /** One at a time finds that out. */
  readonly reading: Permits.Permits
  /** Open where something could not be ended. */
  readonly isCutOff: Effect.Latch
}

const removeTemporary = ({ disk, folders }: Parts, name: string) =>
  Effect.ignore(disk.remove(`${folders.temporary}/${name}`))

/** From where to where. */
const movesOf = ({ folders: { temporary } }: Parts, { content, metadata, file }: Intent, folder: string) =>
  [
    { from: `${temporary}/${content}`, to: `${folder}/${file}` },
    { from: `${temporary}/${metadata}`, to: `${folder}/${file}${metadataSuffix}` }
  ] as const

/** Whether this metadata is all that was written, and of this content. */
const belongTogether = ({ disk, hashesTo }: Parts, { check }: Intent, content: string, metadata: string) =>
  Effect.gen(function* () {
    const text = yield* disk.readText(metadata)
    if (text === undefined || (check !== undefined && check !== IntentLog.checkOf(text))) return false
    const known = Metadata.parse(text)
    if (Option.isNone(known) || (yield* disk.status(content))?.kind !== "file") return false
    return yield* hashesTo(disk.read(content), [known.value.hash])
  })

/** Removes what an intent that has ended, or is given up, left in `~tmp`: then its record means nothing any more. */
const clear = ({ disk, folders: { temporary } }: Parts, { content, metadata }: Intent) =>
  Effect.gen(function* () {
    for (const name of [metadata, content]) yield* disk.remove(`${temporary}/${name}`)
    yield* disk.syncFolder(temporary)
  })

/**
 * Ends an intent of the process before this one. A stop may have kept any of what was under way: either move without the
 * other; either file, or a part of it, with a record of both. What belongs together is moved, and nothing else. What is
 * not in `~tmp` any more is in its place, if it was stored.
 */
const completeFound = (parts: Parts, intent: Intent): Effect.Effect<void, DiskError> =>
  Effect.gen(function* () {
    const { disk, folders } = parts
    const isThere = ({ from }: { readonly from: string }) =>
      Effect.map(disk.status(from), (found) => found !== undefined)
    if ((yield* Effect.filter(movesOf(parts, intent, ""), isThere)).length === 0) {
      const folder = folders.find(intent.folders)
      return Either.isRight(folder) && folder.right !== undefined
        ? yield* disk.syncFolder(folder.right)
        : undefined
    }
    const folder = yield* folders.make(intent.folders)
    const moves = movesOf(parts, intent, folder)
    const left = yield* Effect.filter(moves, isThere)
    const placeOf = (move: (typeof moves)[number]) => (left.includes(move) ? move.from : move.to)
    if (yield* belongTogether(parts, intent, placeOf(moves[0]), placeOf(moves[1]))) {
      for (const { from } of left) yield* disk.syncFile(from)
      for (const { from, to } of left) yield* disk.rename(from, to)
    }
    yield* disk.syncFolder(folder)
    yield* clear(parts, intent)
  })

/** What a commit begins with: the pair and the record of it, on the disk. From then on this process or the next stores it. */
const writesOf = (
  { folders: { temporary }, fileMode: mode }: Parts,
  files: ReadonlyArray<{ readonly name: string; readonly bytes: Uint8Array | string }>,
  modified: number,
  note: DiskStep
): ReadonlyArray<DiskStep> => [
  ...files.map(({ name, bytes }): DiskStep => {
    return { _tag: "Write", path: `${temporary}/${name}`, mode, bytes, modified }
  }),
  note,
  { _tag: "SyncFolder", path: temporary }
]

/** What it ends with: the moves, on the disk. */
const movesTo = (parts: Parts, intent: Intent, folder: string): ReadonlyArray<DiskStep> => [
  ...movesOf(parts, intent, folder).map((move): DiskStep => ({ _tag: "Rename", ...move })),
  { _tag: "SyncFolder", path: folder }
]

/** Does the moves once more where somebody removed the folder before them: it is made again. */
const movedAgain = (parts: Parts, intent: Intent, error: DiskError) =>
  Effect.gen(function* () {
    const { disk, folders } = parts
    for (const { from } of movesOf(parts, intent, ""))
      if ((yield* disk.status(from)) === undefined) return yield* error
    yield* disk.sequence(movesTo(parts, intent, yield* folders.make(intent.folders)))
  })

/**
 * Ends an intent of this process that the disk cut off: it is taken back while nothing of the pair is in its place, and
 * completed otherwise, since then all of it was on the disk. A content that is in neither place was removed by somebody: its
 * metadata does not become that of the content before it.
 */
const end = (parts: Parts, intent: Intent, release: Effect.Effect<void>): Effect.Effect<void, DiskError> =>
  Effect.gen(function* () {
    const { disk, folders, intended } = parts
    const temporary = folders.temporary
    if ((yield* disk.status(`${temporary}/${intent.content}`)) === undefined) {
      const folder = yield* folders.make(intent.folders)
      const [{ to: content }, { from, to }] = movesOf(parts, intent, folder)
      if ((yield* disk.status(from)) !== undefined)
        yield* (yield* belongTogether(parts, intent, content, from))
          ? disk.rename(from, to)
          : disk.remove(from)
      yield* disk.syncFolder(folder)
    } else {
      yield* clear(parts, intent)
      intended.delete(intent.content)
    }
    yield* release
  })

/** Does what ends the intents of a file; where that fails it is left to the next who is at the file, or to the next start. */
const endLeft = ({ left }: Parts, key: string): Effect.Effect<void, DiskError> =>
  Effect.suspend(() => {
    const ends = left.get(key)
    return ends === undefined ? Effect.void : Effect.map(ends, () => void left.delete(key))
  })

const store = (parts: Parts, ...[location, folder, incoming, metadata]: Parameters<Intents["store"]>) =>
  Effect.suspend(() => {
    const { disk, folders, intended, left, log } = parts
    const { name } = incoming
    const text = Metadata.print(metadata)
    const intent: Intent = {
      content: name,
      metadata: `${name}${metadataSuffix}`,
      folders: location.folders,
      file: location.file,
      check: IntentLog.checkOf(text)
    }
    const modified = Option.getOrElse(Metadata.dateOf(metadata), () => 0)
    const held = incoming.held()
    const beside = { name: intent.metadata, bytes: text }
    const files = held === undefined ? [beside] : [{ name, bytes: held }, beside]
    const committed = Effect.suspend(() => {
      const { step, release } = log.note(JSON.stringify(intent))
      // A link in the content's place is not replaced.
      const check: DiskStep = { _tag: "CheckFile", path: `${folder}/${intent.file}` }
      const steps = [check, ...writesOf(parts, files, modified, step), ...movesTo(parts, intent, folder)]
      const stored = Effect.catchIf(disk.sequence(steps), isMissing, (error) =>
        movedAgain(parts, intent, error)
      )
      intended.add(name)
      return Effect.matchCauseEffect(folders.again(stored), {
        onSuccess: () => release,
        onFailure: (cause) => {
          log.renew()
          left.set(keyOf(location), end(parts, intent, release))
          return Effect.zipRight(
            Effect.orElse(endLeft(parts, keyOf(location)), () => parts.isCutOff.open),
            Effect.failCause(cause)
          )
        }
      })
    })
    return held === undefined ? Effect.andThen(incoming.sync(modified), committed) : committed
  }).pipe(Effect.uninterruptible)

/** A link, a folder or a huge file was not written by a relay. */
const ours = <A>(effect: Effect.Effect<A, DiskError>) =>
  Effect.catchIf(
    effect,
    (error) => isNotOfItsKind(error) || error.code === "EFBIG" || error.code === "EISDIR",
    () => Effect.succeed(undefined)
  )

/** Finds what the process before this one left. What it wrote last may not be on the disk yet. */
const read = (parts: Parts): Effect.Effect<void, DiskError> =>
  Effect.gen(function* () {
    if (!parts.isUnread) return
    const { disk, folders, left, log } = parts
    const names = (yield* disk.list(folders.temporary)).map(({ name }) => name)
    const found: Array<string> = []
    for (const name of names) {
      const path = `${folders.temporary}/${name}`
      if (name.endsWith(olderSuffix)) found.push((yield* ours(disk.readText(path))) ?? "")
      if (!name.endsWith(IntentLog.suffix) || log.isOwn(name)) continue
      const bytes = yield* ours(Effect.andThen(disk.syncFile(path), disk.readSmall(path)))
      if (bytes !== undefined) found.push(...IntentLog.parse(Buffer.from(bytes)))
    }
    yield* disk.syncFolder(folders.temporary)
    for (const intent of found.flatMap((text) => Option.toArray(decodeIntent(text)))) {
      const key = keyOf(intent)
      left.set(key, Effect.andThen(left.get(key) ?? Effect.void, completeFound(parts, intent)))
    }
    parts.isUnread = false
  }).pipe(parts.reading)

const complete = (parts: Parts, location: Location): Effect.Effect<void, DiskError> =>
  Effect.suspend(() =>
    parts.isUnread
      ? Effect.andThen(read(parts), endLeft(parts, keyOf(location)))
      : endLeft(parts, keyOf(location))
  )

/** What has something in its way is given up. */
const recoverFile = (parts: Parts, key: string) =>
  Effect.catchAll(endLeft(parts, key), (error) => {
    const isGivenUp = isNotOfItsKind(error)
    if (isGivenUp) parts.left.delete(key)
    const log = isGivenUp
      ? Effect.logError("a shared file can't be completed, and is given up")
      : Effect.logError("a shared file can't be completed; the next who asks for it tries again")
    return log.pipe(Effect.annotateLogs({ file: key, error: error.message }))
  })

const recover = (parts: Parts) =>
  Effect.gen(function* () {
    const { disk, folders, left } = parts
    yield* read(parts)
    yield* Effect.forEach([...left.keys()], (key) => recoverFile(parts, key), { discard: true })
    if (left.size > 0) return
    yield* folders.emptyTemporary
    yield* disk.syncFolder(folders.temporary)
  })

/** Ends what is left, each for itself; fails where something can't be ended. */
const endAll = (parts: Parts, alone: Parameters<Intents["mend"]>[0]) =>
  Effect.gen(function* () {
    // First: what is cut off from here on opens it again.
    yield* parts.isCutOff.close
    yield* read(parts)
    for (const key of [...parts.left.keys()]) yield* alone(key)(recoverFile(parts, key))
    if (parts.left.size > 0) return yield* Effect.fail("left")
  })

const mend = (parts: Parts, alone: Parameters<Intents["mend"]>[0]) =>
  Effect.forever(
    Effect.andThen(
      parts.isCutOff.await,
      endAll(parts, alone).pipe(Effect.retry(mendSchedule), Effect.delay("1 second"), Effect.ignore)
    )
  )

/** The intents in a folder of the relay's, which this process has alone. */
export const make = (given: Pick<Parts, "disk" | "folders" | "hashesTo" | "fileMode">): Intents => {
  const parts: Parts = {
    ...given,
    log: IntentLog.make(given.disk, given.folders.temporary, given.fileMode),
    intended: new Set(),
    left: new Map(),
    isUnread: true,
    reading: Permits.make(1),
    isCutOff: Effect.unsafeMakeLatch(false)
  }
  return {
    mayBeLeft: (key) => parts.isUnread || (parts.left.size > 0 && parts.left.has(key())),
    complete: (location) => complete(parts, location),
    store: (...file) => store(parts, ...file),
    discard: (name, mayBeThere) =>
      parts.intended.delete(name) || !mayBeThere ? undefined : removeTemporary(parts, name),
    recover: Effect.ensuring(
      recover(parts),
      Effect.suspend(() => (parts.isUnread || parts.left.size > 0 ? parts.isCutOff.open : Effect.void))
    ),
    mend: (alone) => mend(parts, alone)
  }
}
