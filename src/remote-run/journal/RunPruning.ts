/** Keeps the history within its bounds: what is past its retention goes, and over the size the oldest. */
import { FileSystem, type Error as PlatformError } from "@effect/platform"
import { Clock, Duration, Effect, Option } from "effect"
import * as Permits from "../../Permits.ts"
import type { StorageError } from "../../RelayError.ts"
import { type RunId, startedAt } from "../RunId.ts"
import { folderAt, folderOf, type RunFile, type RunFolders } from "./RunFolders.ts"

/** What keeps the history within its bounds. It counts the bytes on the disk once, and keeps the count. */
export interface RunPruning {
  /** Counts bytes that were added: a run that is over now, or entries of an index. */
  readonly add: (bytes: number) => void
  readonly isTooMuch: () => boolean
  /** What can't be removed is named in the log, once. */
  readonly prune: Effect.Effect<void>
}

/** The bounds, and what they hold for. */
export interface RunPruningOptions {
  readonly folders: RunFolders
  readonly retention: Duration.Duration
  /** Bytes. */
  readonly maxSize: number
  /** Bytes of the runs that go on. */
  readonly held: () => number
  /** Runs that go on, and others whose files are in use. */
  readonly inUse: () => ReadonlySet<RunId>
}

/** What a look over the files could not remove. */
interface Trouble {
  count: number
  first: string
}

interface Parts extends RunPruningOptions {
  readonly fs: FileSystem.FileSystem
  /** Bytes of the runs that are over, and of the indexes; none until they were counted. */
  total: Option.Option<number>
  /** What the log said last. */
  lastTrouble: string
}

/** Looks at nothing until the first `prune`. */
export const make = (options: RunPruningOptions): Effect.Effect<RunPruning, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const alone = Permits.make(1)
    const fs = yield* FileSystem.FileSystem
    const parts: Parts = { ...options, fs, total: Option.none(), lastTrouble: "" }
    return {
      add: (bytes) => {
        parts.total = Option.map(parts.total, (sum) => sum + bytes)
      },
      isTooMuch: () => isTooMuch(parts),
      prune: prune(parts).pipe(alone, Effect.withSpan("RunHistory.prune"))
    }
  })

const prune = (parts: Parts) =>
  Effect.suspend(() => {
    const trouble: Trouble = { count: 0, first: "" }
    return removeAll(parts, trouble).pipe(
      Effect.catchAll((error: StorageError) =>
        Effect.sync(() => {
          trouble.count++
          trouble.first = error.message
        })
      ),
      Effect.andThen(report(parts, trouble))
    )
  }).pipe(Effect.uninterruptible)

/** Oldest first, up to the first run that may stay. */
const removeAll = (parts: Parts, trouble: Trouble) =>
  Effect.gen(function* () {
    const { folders, inUse, retention } = parts
    if (Option.isNone(parts.total)) parts.total = Option.some(yield* count(parts))
    const now = yield* Clock.currentTimeMillis
    const isExpired = (id: RunId) => now - startedAt(id) > Duration.toMillis(retention)
    const usedFolders = new Set(Array.from(inUse(), folderOf))
    for (const folder of yield* folders.folders) {
      for (const file of yield* folders.files(folder)) {
        if (file.id === undefined) yield* removeStranger(parts, file, now, trouble)
        else if (inUse().has(file.id)) continue
        else if (isExpired(file.id) || isTooMuch(parts)) yield* remove(parts, file, trouble)
        else return
      }
      if (folder < folderAt(now) && !usedFolders.has(folder)) yield* removeFolder(parts, folder)
    }
  })

const isTooMuch = ({ total, held, maxSize }: Parts): boolean =>
  Option.exists(total, (bytes) => bytes + held() > maxSize)

const stat = ({ fs }: Parts, path: string) => Effect.option(fs.stat(path))

const sizeOf = (info: Option.Option<FileSystem.File.Info>): number =>
  Option.match(info, { onNone: () => 0, onSome: ({ size }) => Number(size) })

const count = (parts: Parts) =>
  Effect.gen(function* () {
    const { folders, inUse } = parts
    let bytes = 0
    for (const folder of yield* folders.folders) {
      bytes += sizeOf(yield* stat(parts, folders.indexPath(folder)))
      for (const { path, id } of yield* folders.files(folder))
        if (id !== undefined && !inUse().has(id)) bytes += sizeOf(yield* stat(parts, path))
    }
    return bytes
  })

const remove = (parts: Parts, { path }: RunFile, trouble: Trouble) =>
  Effect.gen(function* () {
    const bytes = sizeOf(yield* stat(parts, path))
    yield* parts.fs.remove(path)
    parts.total = Option.map(parts.total, (sum) => sum - bytes)
  }).pipe(
    Effect.catchAll((error: PlatformError.PlatformError) =>
      Effect.sync(() => {
        if (trouble.count++ === 0) trouble.first = error.message
      })
    )
  )

/** Removes the folder of a time that is over, with its index, where no run is left in it. */
const removeFolder = (parts: Parts, folder: string) =>
  Effect.gen(function* () {
    const { folders } = parts
    const bytes = sizeOf(yield* stat(parts, folders.indexPath(folder)))
    if (yield* folders.removeEmpty(folder)) parts.total = Option.map(parts.total, (sum) => sum - bytes)
  })

/** A file that is no run's is of no use to anybody: it goes when runs of its age do. */
const removeStranger = (parts: Parts, file: RunFile, now: number, trouble: Trouble) =>
  Effect.gen(function* () {
    const info = Option.getOrUndefined(yield* stat(parts, file.path))
    const modified = Option.getOrUndefined(info?.mtime ?? Option.none<Date>())
    if (info?.type === "Directory" || modified === undefined) return
    if (now - modified.getTime() > Duration.toMillis(parts.retention)) yield* remove(parts, file, trouble)
  })

const report = (parts: Parts, trouble: Trouble) =>
  Effect.suspend(() => {
    const { count: files, first: problem } = trouble
    const isNew = problem !== parts.lastTrouble
    parts.lastTrouble = problem
    return files === 0 || !isNew
      ? Effect.void
      : Effect.logWarning("files of runs can't be removed").pipe(Effect.annotateLogs({ files, problem }))
  })
