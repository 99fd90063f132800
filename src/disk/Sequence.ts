/** The steps of a commit on any disk, as the thread of `CommitThread` does them on this machine's. */
import { Effect, type Scope } from "effect"
import { type DiskError, type DiskFile, type DiskService, type DiskStep, notOfItsKind } from "./Disk.ts"
import * as Folders from "./Folders.ts"

/** A file in which several have their place. */
export interface NoteFile {
  /** Writes all of these bytes at this place, over what is there. */
  readonly write: (bytes: Uint8Array, at: number) => Effect.Effect<void, DiskError>
  /** What was written, and the file's length, are on the disk afterwards. */
  readonly sync: Effect.Effect<void, DiskError>
  readonly close: Effect.Effect<void>
}

/** What steps are done with. */
export interface Parts
  extends Pick<
    DiskService,
    "create" | "rename" | "remove" | "makeFolder" | "removeFolder" | "status" | "syncFolder" | "list"
  > {
  /** Opens such a file; it is made with this mode where it is missing. */
  readonly openNotes: (path: string, mode: number) => Effect.Effect<NoteFile, DiskError>
}

const bytesOf = (bytes: Uint8Array | string): Uint8Array =>
  typeof bytes === "string" ? Buffer.from(bytes) : bytes

/** With zeros behind them, where they are shorter. */
const padded = (given: Uint8Array | string, length = 0): Uint8Array => {
  const bytes = bytesOf(given)
  return bytes.length < length ? Buffer.concat([bytes], length) : bytes
}

type Sync = Effect.Effect<void, DiskError>

const opened = <A extends Pick<DiskFile, "close">>(open: Effect.Effect<A, DiskError>) =>
  Effect.acquireRelease(open, ({ close }) => close)

const makeFolder = ({ makeFolder, status }: Parts, path: string, mode: number) =>
  Effect.andThen(
    makeFolder(path, mode),
    Effect.flatMap(status(path), (found) =>
      found === undefined || found.kind === "folder" ? Effect.void : notOfItsKind(path)
    )
  )

const checkFile = ({ status }: Parts, path: string) =>
  Effect.flatMap(status(path), (found) =>
    found === undefined || found.kind === "file" ? Effect.void : notOfItsKind(path)
  )

/** Does a step, up to what syncs it; undefined: nothing does. */
const begin = (parts: Parts, step: DiskStep): Effect.Effect<Sync | undefined, DiskError, Scope.Scope> => {
  switch (step._tag) {
    case "Write":
      return Effect.gen(function* () {
        const { path, mode, bytes, modified } = step
        const file = yield* opened(parts.create(path, mode))
        yield* file.write(bytesOf(bytes))
        return modified === undefined ? undefined : file.sync(modified)
      })
    case "Note":
      return Effect.gen(function* () {
        const file = yield* opened(parts.openNotes(step.path, step.mode))
        yield* file.write(padded(step.bytes, step.length), step.at)
        return file.sync
      })
    case "SyncFolder":
      return Effect.succeed(parts.syncFolder(step.path))
    case "CheckFile":
      return Effect.as(checkFile(parts, step.path), undefined)
    case "MakeFolder":
      return Effect.as(makeFolder(parts, step.path, step.mode), undefined)
    case "Rename":
      return Effect.as(parts.rename(step.from, step.to), undefined)
    case "Remove":
      return Effect.as(parts.remove(step.path), undefined)
    case "Discard":
      return Effect.as(Effect.ignore(parts.remove(step.path)), undefined)
    case "DiscardFolder":
      return Effect.as(Effect.ignore(Folders.remove(parts, step.path)), undefined)
  }
}

/** Whether a step may be done before those of before are on the disk. */
const goesWith = (before: DiskStep | undefined, { _tag }: DiskStep): boolean =>
  _tag === "SyncFolder" || (before?._tag !== "SyncFolder" && (_tag === "Write" || _tag === "Note"))

/** Does these steps. What may get to the disk in any order gets there last one first: nobody is to rely on another order. */
export const make =
  (parts: Parts): DiskService["sequence"] =>
  (steps) =>
    Effect.gen(function* () {
      let syncs: ReadonlyArray<Sync> = []
      let before: DiskStep | undefined
      for (const step of steps) {
        if (!goesWith(before, step)) {
          yield* Effect.all(syncs, { discard: true })
          syncs = []
        }
        const sync = yield* begin(parts, step)
        if (sync !== undefined) syncs = [sync, ...syncs]
        before = step
      }
      yield* Effect.all(syncs, { discard: true })
    }).pipe(Effect.scoped, Effect.uninterruptible)
