/**
 * How content and metadata of a file get to their place together. An intent, a small record in `~tmp`, says where both
 * belong. Once the intent is on the disk the pair is stored, whatever happens; a start completes what a stop cut off.
 */
import { createHash } from "node:crypto"
import { Effect, Option, Schema } from "effect"
import { type DiskError, type DiskService, type DiskStep, isNotOfItsKind } from "../../disk/Disk.ts"
import type { Folders } from "../../disk/Folders.ts"
import type { HashCheck } from "../../disk/HashCheck.ts"
import type { Incoming } from "../../disk/Incoming.ts"
import { keyOf, type Location, metadataSuffix } from "../file/Location.ts"
import * as Metadata from "../file/Metadata.ts"

/** The intents of one store. */
export interface Intents {
  /** Whether there may be one that is not completed: then a file is not looked at before that. */
  readonly mayBeLeft: () => boolean
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
  /** Removes a content that came in, unless it was stored or may still be. */
  readonly discard: (name: string) => Effect.Effect<void>
  /** Completes what was decided before this start, and removes what was not. */
  readonly recover: Effect.Effect<void, DiskError>
}

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

/** What intents are kept with. */
interface Parts {
  readonly disk: DiskService
  readonly folders: Folders
  readonly hashesTo: HashCheck
  /** Of the temporary files. */
  readonly fileMode: number
  /** Contents that an intent names: these are the intent's to move. */
  readonly intended: Set<string>
  /** Whether there may be an intent that was not completed: an upload cut off by the disk, or by a stop. */
  mayBeLeft: boolean
}

/** There is one for a file. */
const recordName = (location: Location): string =>
  `${createHash("sha256").update(keyOf(location)).digest("hex")}.intent`

const removeTemporary = ({ disk, folders }: Parts, name: string) =>
  Effect.ignore(disk.remove(`${folders.temporary}/${name}`))

/** From where to where. */
const movesOf = ({ folders: { temporary } }: Parts, { content, metadata, file }: Intent, folder: string) =>
  [
    { from: `${temporary}/${content}`, to: `${folder}/${file}` },
    { from: `${temporary}/${metadata}`, to: `${folder}/${file}${metadataSuffix}` }
  ] as const

/** Whether this metadata is of this content. */
const belongTogether = ({ disk, hashesTo }: Parts, content: string, metadata: string) =>
  Effect.gen(function* () {
    const known = Option.flatMap(Option.fromNullable(yield* disk.readText(metadata)), Metadata.parse)
    if (Option.isNone(known) || (yield* disk.status(content))?.kind !== "file") return false
    return yield* hashesTo(disk.read(content), [known.value.hash])
  })

/**
 * Moves what of the pair was not moved yet: a stop may have kept either move without the other. Of an intent that was taken
 * back, a stop may have kept one of the pair, which belongs to nothing.
 */
const resume = (parts: Parts, intent: Intent, folder: string) =>
  Effect.gen(function* () {
    const { disk } = parts
    const moves = movesOf(parts, intent, folder)
    const left = yield* Effect.filter(moves, ({ from }) =>
      Effect.map(disk.status(from), (found) => found !== undefined)
    )
    const placeOf = (move: (typeof moves)[number]) => (left.includes(move) ? move.from : move.to)
    if (left.length !== 1 || (yield* belongTogether(parts, placeOf(moves[0]), placeOf(moves[1]))))
      for (const { from, to } of left) yield* disk.rename(from, to)
    yield* disk.syncFolder(folder)
  })

/** Does what the record of this name says, if there is one. */
const completeRecord = (parts: Parts, record: string) =>
  Effect.gen(function* () {
    const { disk, folders } = parts
    const text = yield* disk.readText(`${folders.temporary}/${record}`)
    const intent = Option.flatMap(Option.fromNullable(text), decodeIntent)
    if (Option.isNone(intent)) return
    // It has to be on the disk before a part of the pair moves: a stop between the two would part them.
    yield* disk.syncFolder(folders.temporary)
    yield* resume(parts, intent.value, yield* folders.make(intent.value.folders))
    for (const name of [record, intent.value.content, intent.value.metadata])
      yield* disk.remove(`${folders.temporary}/${name}`)
  })

/** What a commit is made of: first the pair and the record of it, on the disk; then the moves, on the disk. */
const stepsOf = (
  { folders: { temporary }, fileMode: mode }: Parts,
  files: ReadonlyArray<{ readonly name: string; readonly content: Uint8Array }>,
  modified: number,
  record: string,
  [content, metadata]: ReturnType<typeof movesOf>,
  folder: string
): ReadonlyArray<DiskStep> => [
  ...files.map(({ name, content: bytes }): DiskStep => {
    return { _tag: "Write", path: `${temporary}/${name}`, mode, bytes, modified }
  }),
  { _tag: "Rename", from: `${content.from}.new`, to: `${temporary}/${record}` },
  // Once the record is on the disk the pair is stored, by this process or by the next.
  { _tag: "SyncFolder", path: temporary },
  { _tag: "Rename", ...content },
  { _tag: "Rename", ...metadata },
  { _tag: "SyncFolder", path: folder },
  { _tag: "Discard", path: `${temporary}/${record}` }
]

/**
 * Takes back what could not be completed, while nothing of it is in its place. Where that can't be done either, whoever is
 * next at the file completes it, or the next start.
 */
const takeBack = (parts: Parts, record: string, intent: Intent) =>
  Effect.gen(function* () {
    const { disk, folders, intended } = parts
    parts.mayBeLeft = true
    if ((yield* disk.status(`${folders.temporary}/${intent.content}`)) === undefined) return
    yield* disk.remove(`${folders.temporary}/${record}`)
    intended.delete(intent.content)
    for (const name of [intent.metadata, `${intent.content}.new`]) yield* removeTemporary(parts, name)
    yield* disk.syncFolder(folders.temporary)
  }).pipe(Effect.ignore)

const store = (parts: Parts, ...[location, folder, incoming, metadata]: Parameters<Intents["store"]>) =>
  Effect.gen(function* () {
    const { disk, folders, intended } = parts
    const { name } = incoming
    const record = recordName(location)
    const intent: Intent = { content: name, metadata: `${name}${metadataSuffix}`, ...location }
    const modified = Option.getOrElse(Metadata.dateOf(metadata), () => 0)
    const held = incoming.held()
    if (held === undefined) yield* incoming.sync(modified)
    const files = [
      ...(held === undefined ? [] : [{ name, content: held }]),
      { name: intent.metadata, content: Buffer.from(Metadata.print(metadata)) },
      { name: `${name}.new`, content: Buffer.from(encodeIntent(intent)) }
    ]
    const steps = stepsOf(parts, files, modified, record, movesOf(parts, intent, folder), folder)
    intended.add(name)
    yield* folders.again(disk.sequence(steps)).pipe(Effect.onError(() => takeBack(parts, record, intent)))
  }).pipe(Effect.uninterruptible)

/** Whether nothing is left to do about an intent: what has something in its way is given up. */
const recoverRecord = (parts: Parts, record: string) =>
  completeRecord(parts, record).pipe(
    Effect.as(true),
    Effect.catchAll((error) => {
      const log = isNotOfItsKind(error)
        ? Effect.logError("a shared file can't be completed, and is given up")
        : Effect.logError("a shared file can't be completed; the next who asks for it tries again")
      return log.pipe(
        Effect.annotateLogs({ intent: record, error: error.message }),
        Effect.as(isNotOfItsKind(error))
      )
    })
  )

const recover = (parts: Parts) =>
  Effect.gen(function* () {
    const { disk, folders } = parts
    const records = (yield* disk.list(folders.temporary)).filter(({ name }) => name.endsWith(".intent"))
    const done = yield* Effect.forEach(records, ({ name }) => recoverRecord(parts, name))
    if (done.includes(false)) return
    yield* folders.emptyTemporary
    yield* disk.syncFolder(folders.temporary)
    parts.mayBeLeft = false
  })

/** The intents in a folder of the relay's, which this process has alone. */
export const make = (given: Pick<Parts, "disk" | "folders" | "hashesTo" | "fileMode">): Intents => {
  const parts: Parts = { ...given, intended: new Set(), mayBeLeft: true }
  return {
    mayBeLeft: () => parts.mayBeLeft,
    complete: (location) =>
      Effect.suspend(() => (parts.mayBeLeft ? completeRecord(parts, recordName(location)) : Effect.void)),
    store: (...file) => store(parts, ...file),
    discard: (name) =>
      Effect.suspend(() => (parts.intended.delete(name) ? Effect.void : removeTemporary(parts, name))),
    recover: recover(parts)
  }
}
