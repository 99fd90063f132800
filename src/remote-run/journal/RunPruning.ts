/** Keeps the history within its bounds: what is past its retention goes, and over the size the oldest. */
import { FileSystem, type Error as PlatformError } from "@effect/platform"
import { Clock, Duration, Effect, Option } from "effect"
import type { StorageError } from "../../RelayError.ts"
import { type RunId, startedAt } from "../RunId.ts"
import { folderAt, folderOf, type RunFile, type RunFolders } from "./RunFolders.ts"

export interface RunPruning {
  /** Bytes of a run that is over now. */
  readonly add: (bytes: number) => void
  readonly isTooMuch: () => boolean
  /** What can't be removed is named in the log, once. */
  readonly prune: Effect.Effect<void>
}

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

/** What a pass over the files could not remove. */
interface Trouble {
  count: number
  first: string
}

export const make = (options: RunPruningOptions): Effect.Effect<RunPruning, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const { folders, maxSize } = options
    const alone = yield* Effect.makeSemaphore(1)
    /** Bytes of the runs that are over; none until they were counted. */
    let total: Option.Option<number> = Option.none()
    let lastTrouble = ""

    const isTooMuch = () => Option.exists(total, (bytes) => bytes + options.held() > maxSize)

    const stat = (path: string) => Effect.option(fs.stat(path))

    const count = Effect.gen(function* () {
      let bytes = 0
      for (const folder of yield* folders.folders)
        for (const { path, id } of yield* folders.files(folder))
          if (id !== undefined && !options.inUse().has(id))
            bytes += Option.match(yield* stat(path), { onNone: () => 0, onSome: ({ size }) => Number(size) })
      total = Option.some(bytes)
    })

    const remove = ({ path }: RunFile, trouble: Trouble) =>
      Effect.gen(function* () {
        const info = yield* stat(path)
        yield* fs.remove(path)
        const bytes = Option.match(info, { onNone: () => 0, onSome: ({ size }) => Number(size) })
        total = Option.map(total, (sum) => sum - bytes)
      }).pipe(
        Effect.catchAll((error: PlatformError.PlatformError) =>
          Effect.sync(() => {
            if (trouble.count++ === 0) trouble.first = error.message
          })
        )
      )

    /** What is no run's is of no use to anybody: it goes when runs of its age do. */
    const removeStranger = (file: RunFile, now: number, trouble: Trouble) =>
      Effect.gen(function* () {
        const info = Option.getOrUndefined(yield* stat(file.path))
        const modified = Option.getOrUndefined(info?.mtime ?? Option.none<Date>())
        if (info?.type === "Directory" || modified === undefined) return
        if (now - modified.getTime() > Duration.toMillis(options.retention)) yield* remove(file, trouble)
      })

    const pass = (trouble: Trouble) =>
      Effect.gen(function* () {
        if (Option.isNone(total)) yield* count
        const now = yield* Clock.currentTimeMillis
        const isExpired = (id: RunId) => now - startedAt(id) > Duration.toMillis(options.retention)
        const inUse = options.inUse()
        const usedFolders = new Set(Array.from(inUse, folderOf))
        for (const folder of yield* folders.folders) {
          for (const file of yield* folders.files(folder)) {
            if (file.id === undefined) yield* removeStranger(file, now, trouble)
            else if (options.inUse().has(file.id)) continue
            else if (isExpired(file.id) || isTooMuch()) yield* remove(file, trouble)
            else return
          }
          if (folder < folderAt(now) && !usedFolders.has(folder)) yield* folders.removeEmpty(folder)
        }
      })

    const report = (trouble: Trouble) =>
      Effect.suspend(() => {
        const { count: files, first: problem } = trouble
        const isNew = problem !== lastTrouble
        lastTrouble = problem
        return files === 0 || !isNew
          ? Effect.void
          : Effect.logWarning("files of runs can't be removed").pipe(Effect.annotateLogs({ files, problem }))
      })

    const prune = Effect.suspend(() => {
      const trouble: Trouble = { count: 0, first: "" }
      return pass(trouble).pipe(
        Effect.catchAll((error: StorageError) =>
          Effect.sync(() => {
            trouble.count++
            trouble.first = error.message
          })
        ),
        Effect.andThen(report(trouble))
      )
    }).pipe(Effect.uninterruptible, alone.withPermits(1), Effect.withSpan("RunHistory.prune"))

    return {
      add: (bytes) => {
        total = Option.map(total, (sum) => sum + bytes)
      },
      isTooMuch,
      prune
    }
  })
