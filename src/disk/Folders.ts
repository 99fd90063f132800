/** The folders that stored files are in: made where they are missing, on the disk before a file in them counts. */
import { Effect } from "effect"
import { StorageError } from "../RelayError.ts"
import type { DiskError, DiskService } from "./Disk.ts"

export interface Folders {
  /** The root and what is above it, made where they are missing. What is above may be links. */
  readonly prepare: Effect.Effect<void, DiskError>
  /** The folder of these names, one in the other, below the root; `StorageError`: a link or a file is in the way. */
  readonly make: (names: ReadonlyArray<string>) => Effect.Effect<string, DiskError | StorageError>
  /** The same, if all of it is there; undefined: not yet. */
  readonly find: (names: ReadonlyArray<string>) => Effect.Effect<string | undefined, DiskError | StorageError>
}

/** So many folders are known to be on the disk; past them it is made sure of again. */
const mostKnown = 10_000

const mode = 0o750

/** Something is where a folder, or a file, of ours belongs. */
export const blocked = (path: string) =>
  Effect.logError("a link, or a file, is in the way of shared files; it is not followed").pipe(
    Effect.annotateLogs({ path }),
    Effect.andThen(new StorageError({ message: `${path} is in the way of shared files` }))
  )

/** A folder that can't be synced because of whose it is was not filled by this relay. */
const isForeign = ({ code }: DiskError): boolean =>
  code === "EACCES" || code === "EPERM" || code === "EROFS" || code === "EINVAL"

export const make = (disk: DiskService, root: string): Folders => {
  /**
   * That a folder is there does not tell that a stop would leave it there: another upload may just have made it, or a
   * process that was killed.
   */
  const durable = new Set<string>()
  const remember = (folder: string) => {
    if (durable.size >= mostKnown) durable.clear()
    durable.add(folder)
  }

  const prepare = Effect.gen(function* () {
    let folder = ""
    for (const name of root.split("/").filter((part) => part !== "")) {
      const parent = folder === "" ? "/" : folder
      folder = `${folder}/${name}`
      const isThere = (yield* disk.status(folder)) !== undefined
      if (!isThere) yield* disk.makeFolder(folder, mode)
      yield* Effect.catchIf(
        disk.syncFolder(parent),
        (error) => isThere && isForeign(error),
        () => Effect.void
      )
    }
  })

  return {
    prepare,
    make: (names) =>
      Effect.gen(function* () {
        let folder = root
        for (const name of names) {
          const parent = folder
          folder = `${folder}/${name}`
          const found = yield* disk.status(folder)
          if (found !== undefined && found.kind !== "folder") return yield* blocked(folder)
          if (found !== undefined && durable.has(folder)) continue
          if (found === undefined) yield* disk.makeFolder(folder, mode)
          yield* disk.syncFolder(parent)
          remember(folder)
        }
        return folder
      }),
    find: (names) =>
      Effect.gen(function* () {
        let folder = root
        for (const name of names) {
          folder = `${folder}/${name}`
          const found = yield* disk.status(folder)
          if (found === undefined) return undefined
          if (found.kind !== "folder") return yield* blocked(folder)
        }
        return folder
      })
  }
}
