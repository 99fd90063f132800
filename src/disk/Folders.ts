/**
 * A folder of the relay's and those in it: made where they are missing, with their modes, and on the disk before a file
 * in them counts.
 */
import { resolve } from "node:path"
import { Effect, Either, Option } from "effect"
import { type DiskError, type DiskService, type DiskStatus, notOfItsKind } from "./Disk.ts"
import type { Looks } from "./Looks.ts"

/** What is being written stands in this folder of a folder of the relay's, and nowhere else. No node has such an id. */
export const temporaryName = "~tmp"

/** Which folder, and how it is made. */
export interface FoldersSettings {
  /** A relative one is meant from the folder that the process was started in. */
  readonly root: string
  /** Of every folder that is made, whatever the umask. */
  readonly mode: number
  /** Names of folders in the root that are there from the start on. */
  readonly within: ReadonlyArray<string>
  /** Milliseconds since 1970; absent: `find` looks at each folder, each time. */
  readonly now?: () => number
}

/** A folder of the relay's, on a disk. */
export interface Folders {
  /** Absolute. */
  readonly root: string
  /** The folder for what is being written, where there is one. */
  readonly temporary: string
  /**
   * The root, what is above it, and what is always within, made where they are missing and on the disk. What is above
   * may be links. Fails where the root, or what is within, can't be written by this process.
   */
  readonly prepare: Effect.Effect<void, DiskError>
  /** Does it once more where the folders were removed under a relay that runs: they are made again. */
  readonly again: <A>(effect: Effect.Effect<A, DiskError>) => Effect.Effect<A, DiskError>
  /** The folder of these names, one in the other, below the root, which is made again too; `EFTYPE`: a link or a file is in the way. */
  readonly make: (names: ReadonlyArray<string>) => Effect.Effect<string, DiskError>
  /**
   * The same by a look, now, or by these, where all of it is there and known to be on the disk, as nearly always; undefined: it
   * is to be made.
   */
  readonly made: (names: ReadonlyArray<string>, looks?: Looks) => string | undefined
  /** The same, if all of it is there; undefined: not yet. Looks now. */
  readonly find: (names: ReadonlyArray<string>) => Either.Either<string | undefined, DiskError>
  /** What does the same each time that it is called, by these looks, for who asks for one folder again and again. */
  readonly finder: (
    names: ReadonlyArray<string>
  ) => (looks: Looks | undefined) => Either.Either<string | undefined, DiskError>
  /** Where the folder of these names is, or would be. */
  readonly pathOf: (names: ReadonlyArray<string>) => string
  /** Removes what is in the folder for what is being written, but for what can't be. */
  readonly emptyTemporary: Effect.Effect<void, DiskError>
}

/** So many folders are known to be on the disk; past them it is made sure of again. */
const mostKnown = 10_000

/** There was nothing at a path, or no folder on the way to it. */
export const isMissing = ({ code }: DiskError): boolean => code === "ENOENT"

/** A folder that can't be synced because of whose it is was not filled by this relay. */
const isForeign = ({ code }: DiskError): boolean =>
  code === "EACCES" || code === "EPERM" || code === "EROFS" || code === "EINVAL"

/** What is wrong with the folders by now, if they can't be used: they were removed, say. */
export const problem = (disk: DiskService, { temporary }: Folders): Effect.Effect<Option.Option<string>> =>
  Effect.map(Effect.option(disk.status(temporary)), (found) =>
    Option.liftPredicate(`${temporary} is not there`, () => Option.getOrUndefined(found)?.kind !== "folder")
  )

/** Removes a folder of files. */
export const remove = (
  disk: Pick<DiskService, "list" | "remove" | "removeFolder">,
  path: string
): Effect.Effect<void, DiskError> =>
  Effect.gen(function* () {
    for (const { name } of yield* disk.list(path)) yield* disk.remove(`${path}/${name}`)
    yield* disk.removeFolder(path)
  })

interface Parts {
  readonly disk: DiskService
  readonly root: string
  readonly mode: number
  /**
   * That a folder is there does not tell that a stop would leave it there: another upload may just have made it, or a
   * process that was killed.
   */
  readonly durable: Set<string>
  readonly now: (() => number) | undefined
  /** Folders that were found, by their paths: each with the folder above it, as that was right before. */
  readonly found: Map<string, DiskStatus>
}

/**
 * The system tells the time of a change by a clock that stands still for some milliseconds: of a folder that changed just
 * now it could not be told that it changed again.
 */
const settledMillis = 1000

/**
 * What is in a folder can't become another thing, such as a link, unless the time of the folder's last change does, and
 * nobody can set that time. So where a folder was looked at and is as it was, the one in it need not be looked at again; the
 * next one below has to be.
 */
const isSame = (before: DiskStatus | undefined, now: DiskStatus): boolean =>
  before !== undefined && before.inode === now.inode && before.changed === now.changed

/** The folders on the way to the one of these names, from the top down, with that one. */
const pathsOf = (root: string, names: ReadonlyArray<string>): ReadonlyArray<string> => {
  const paths: Array<string> = []
  let folder = root
  for (const name of names) {
    folder = `${folder}/${name}`
    paths.push(folder)
  }
  return paths
}

const find = (
  { disk, found, now }: Parts,
  paths: ReadonlyArray<string>,
  last: Either.Either<string>,
  looks: Looks | undefined
): Either.Either<string | undefined, DiskError> => {
  let above: DiskStatus | undefined
  for (const folder of paths) {
    if (above !== undefined && isSame(found.get(folder), above)) {
      above = undefined
      continue
    }
    const seen = looks === undefined ? disk.look(folder) : looks.look(folder)
    if (Either.isLeft(seen)) return Either.left(seen.left)
    if (seen.right === undefined) return Either.right(undefined)
    if (seen.right.kind !== "folder") return Either.left(notOfItsKind(folder))
    if (above !== undefined && now !== undefined && (looks?.since ?? now()) - above.changed > settledMillis) {
      if (found.size >= mostKnown) found.clear()
      found.set(folder, above)
    }
    above = seen.right
  }
  return last
}

/** Where something is in the way, making it says so. */
const made = (parts: Parts, names: ReadonlyArray<string>, looks?: Looks): string | undefined => {
  const paths = pathsOf(parts.root, names)
  if (!paths.every((path) => parts.durable.has(path))) return undefined
  const found = find(parts, paths, Either.right(paths.at(-1) ?? parts.root), looks)
  return Either.isRight(found) ? found.right : undefined
}

const finder = (parts: Parts, names: ReadonlyArray<string>): ReturnType<Folders["finder"]> => {
  const paths = pathsOf(parts.root, names)
  const last = Either.right(paths.at(-1) ?? parts.root)
  return (looks) => find(parts, paths, last, looks)
}

const makeAll = ({ disk, root, mode, durable }: Parts, names: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    let folder = root
    for (const name of names) {
      const parent = folder
      folder = `${folder}/${name}`
      const found = yield* disk.status(folder)
      if (found !== undefined && found.kind !== "folder") return yield* notOfItsKind(folder)
      if (found !== undefined && durable.has(folder)) continue
      if (found === undefined) yield* disk.makeFolder(folder, mode)
      yield* disk.syncFolder(parent)
      if (durable.size >= mostKnown) durable.clear()
      durable.add(folder)
    }
    return folder
  })

/** The folders of these settings; nothing is made yet. */
export const make = (disk: DiskService, { root: given, mode, within, now }: FoldersSettings): Folders => {
  const root = resolve(given)
  const temporary = `${root}/${temporaryName}`
  const parts: Parts = { disk, root, mode, durable: new Set(), now, found: new Map() }

  const prepareAbove = Effect.gen(function* () {
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

  const prepare = Effect.gen(function* () {
    yield* prepareAbove
    yield* disk.checkWritable(root)
    const inner = within.map((name) => `${root}/${name}`)
    for (const folder of inner) {
      yield* disk.makeFolder(folder, mode)
      if ((yield* disk.status(folder))?.kind !== "folder") return yield* notOfItsKind(folder)
      yield* disk.checkWritable(folder)
    }
    // Those who were killed may have left changes that are not on the disk.
    for (const folder of [root, ...inner]) yield* disk.syncFolder(folder)
  })

  const emptyTemporary = Effect.gen(function* () {
    for (const { name, kind } of yield* disk.list(temporary)) {
      const path = `${temporary}/${name}`
      yield* Effect.catchAll(kind === "folder" ? remove(disk, path) : disk.remove(path), (error) =>
        // Somebody else put it there; it is in nobody's way.
        Effect.logWarning("a temporary file can't be removed").pipe(
          Effect.annotateLogs({ path, error: error.message })
        )
      )
    }
  })

  const again: Folders["again"] = (effect) =>
    Effect.catchIf(effect, isMissing, () => Effect.andThen(prepare, effect))

  return {
    root,
    temporary,
    prepare,
    again,
    made: (names, looks) => made(parts, names, looks),
    make: (names) =>
      Effect.suspend(() => {
        const folder = made(parts, names)
        return folder === undefined ? again(makeAll(parts, names)) : Effect.succeed(folder)
      }),
    find: (names) => finder(parts, names)(undefined),
    finder: (names) => finder(parts, names),
    pathOf: (names) => [root, ...names].join("/"),
    emptyTemporary
  }
}
