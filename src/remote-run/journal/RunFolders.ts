/**
 * Where the files of runs are: `<directory>/<time>/<id>.open` while a run goes on, `.run` when it is over, and the index
 * of a time's runs beside them. A time's folder may have something else too, which is no run's.
 */
import { join, resolve } from "node:path"
import { FileSystem, type Error as PlatformError } from "@effect/platform"
import { Effect, Option } from "effect"
import { StorageError } from "../../RelayError.ts"
import { isRunId, type RunId } from "../RunId.ts"

/** Something in a time's folder. */
export interface RunFile {
  readonly path: string
  /** Undefined: it is no run's. */
  readonly id: RunId | undefined
}

/** The folder of all runs, and what is below it. */
export interface RunFolders {
  /** Absolute. */
  readonly root: string
  /** Makes the root where it is missing; fails where it can't be made, or written. */
  readonly prepare: Effect.Effect<void, PlatformError.PlatformError>
  /** What keeps it from being used as it is; none: nothing does. */
  readonly problem: Effect.Effect<Option.Option<string>>
  readonly openPath: (id: RunId) => string
  readonly finalPath: (id: RunId) => string
  /** The folder of the keys of requests. */
  readonly keysPath: string
  /** The index of a time's folder. */
  readonly indexPath: (folder: string) => string
  /** The names of the times' folders, oldest first. */
  readonly folders: Effect.Effect<ReadonlyArray<string>, StorageError>
  /** What is in one of them but its index, the runs' files by their ids. One that can't be read is empty, and the log says so. */
  readonly files: (folder: string) => Effect.Effect<ReadonlyArray<RunFile>>
  /** The same, of the runs' files the ids alone, in any order; an id is there twice where a run has two files. */
  readonly runs: (folder: string) => Effect.Effect<ReadonlyArray<RunId>>
  /** Removes the folder of a time that is over, where nothing but its index is left; whether it did. */
  readonly removeEmpty: (folder: string) => Effect.Effect<boolean>
}

const folderMode = 0o700

const indexName = "index"

/** Makes a folder, and those above it that are missing: this user's alone, whatever the umask. */
export const makeFolder = (
  fs: FileSystem.FileSystem,
  folder: string
): Effect.Effect<void, PlatformError.PlatformError> =>
  Effect.gen(function* () {
    if (yield* fs.exists(folder)) return
    yield* fs.makeDirectory(folder, { recursive: true, mode: folderMode })
    yield* fs.chmod(folder, folderMode)
  })

/** A run's folder: the first 24 bits of its time, 4.7 hours, so that no folder grows without bound. */
export const folderOf = (id: RunId): string => id.slice(0, 6)

/** The folder of the runs that start at a time. Milliseconds since 1970. */
export const folderAt = (millis: number): string =>
  Math.floor(millis).toString(16).padStart(12, "0").slice(0, 6)

const idOf = (name: string): RunId | undefined => {
  const ending = name.endsWith(".run") ? ".run" : ".open"
  if (!name.endsWith(ending)) return undefined
  const id = name.slice(0, -ending.length)
  return isRunId(id) ? id : undefined
}

/** There is no such file or folder. */
export const isMissing = (error: PlatformError.PlatformError): boolean =>
  error._tag === "SystemError" && error.reason === "NotFound"

const nothing = (): ReadonlyArray<string> => []

/** A relative folder is meant from the one that the process was started in. */
export const make = (given: string): Effect.Effect<RunFolders, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const directory = resolve(given)
    const fs = yield* FileSystem.FileSystem
    const names = (folder: string) =>
      fs.readDirectory(folder).pipe(Effect.catchIf(isMissing, () => Effect.sync(nothing)))

    const readable = (folder: string) =>
      names(join(directory, folder)).pipe(
        Effect.catchAll((error) =>
          Effect.as(
            Effect.logWarning("a folder of runs can't be read").pipe(
              Effect.annotateLogs({ folder: join(directory, folder), problem: error.message })
            ),
            nothing()
          )
        )
      )

    const files = (folder: string) =>
      Effect.map(readable(folder), (found) =>
        found
          .filter((name) => name !== indexName)
          .sort()
          .map((name) => ({ path: `${directory}/${folder}/${name}`, id: idOf(name) }))
      )

    return {
      root: directory,
      prepare: Effect.andThen(
        makeFolder(fs, directory),
        fs.access(directory, { readable: true, writable: true })
      ),
      problem: Effect.gen(function* () {
        if ((yield* fs.stat(directory)).type !== "Directory")
          return Option.some(`${directory} is not a folder`)
        yield* fs.access(directory, { writable: true })
        return Option.none()
      }).pipe(Effect.catchAll(({ message }) => Effect.succeedSome(message))),
      keysPath: join(directory, "keys"),
      openPath: (id) => join(directory, folderOf(id), `${id}.open`),
      finalPath: (id) => join(directory, folderOf(id), `${id}.run`),
      indexPath: (folder) => join(directory, folder, indexName),
      folders: names(directory).pipe(
        Effect.mapError((error) => new StorageError({ message: error.message })),
        Effect.map((found) => found.filter((name) => /^[0-9a-f]{6}$/.test(name)).sort())
      ),
      files,
      runs: (folder) =>
        Effect.map(readable(folder), (found) => found.map(idOf).filter((id) => id !== undefined)),
      removeEmpty: (folder) =>
        Effect.gen(function* () {
          if ((yield* names(join(directory, folder))).some((name) => name !== indexName)) return false
          // Node removes a folder only where what is in it may go too; a run of that time starts no more.
          yield* fs.remove(join(directory, folder), { recursive: true })
          return true
        }).pipe(Effect.orElseSucceed(() => false))
    }
  })
