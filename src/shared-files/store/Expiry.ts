/** The clean-up of stored files: which have expired, and when that can be known. */
import { Clock, Effect, Option } from "effect"
import type { DiskError, DiskService } from "../../disk/Disk.ts"
import type { FileLocks } from "../../disk/FileLocks.ts"
import * as Folders from "../../disk/Folders.ts"
import * as FiberClock from "../../FiberClock.ts"
import { keyOf, type Location, metadataSuffix } from "../file/Location.ts"
import * as Metadata from "../file/Metadata.ts"

/** @param now milliseconds since 1970 */
export const isExpired = ({ expires }: Metadata.Metadata, now: number): boolean =>
  Option.exists(expires, (time) => time * 1000 <= now)

/** What a clean-up needs. */
export interface Parts {
  readonly disk: DiskService
  /** Where the files are. */
  readonly root: string
  readonly locks: FileLocks
  /** Completes what an earlier upload of a file decided. */
  readonly complete: (location: Location) => Effect.Effect<void, DiskError>
}

/**
 * Removes files of a folder, a content before its metadata: what is left of the two after a stop vouches for nothing, and
 * goes with the next clean-up. Gone from the disk afterwards.
 */
export const removeFiles = (
  disk: DiskService,
  folder: string,
  names: ReadonlyArray<string>
): Effect.Effect<void, DiskError> =>
  Effect.forEach(names, (name) => Effect.andThen(disk.remove(`${folder}/${name}`), disk.syncFolder(folder)), {
    discard: true
  })

const unreadable = (location: Location, error = "its metadata is none") =>
  Effect.logWarning("a shared file can't be looked at for its expiry").pipe(
    Effect.annotateLogs({ file: keyOf(location), error })
  )

const removeExpired = ({ disk, root, locks, complete }: Parts, location: Location, now: number) =>
  Effect.gen(function* () {
    yield* complete(location)
    const folder = [root, ...location.folders].join("/")
    const content = `${folder}/${location.file}`
    const text = yield* disk.readText(`${content}${metadataSuffix}`)
    const metadata = text === undefined ? Option.none() : Metadata.parse(text)
    if (text !== undefined && Option.isNone(metadata)) return yield* unreadable(location)
    if (!Option.exists(metadata, (known) => isExpired(known, now))) return
    yield* removeFiles(disk, folder, [location.file, `${location.file}${metadataSuffix}`])
    yield* Effect.logInfo("a shared file has expired").pipe(Effect.annotateLogs({ file: keyOf(location) }))
  }).pipe(
    locks.alone(keyOf(location)),
    Effect.catchAll((error) => unreadable(location, error.message))
  )

const cleanFolder = (parts: Parts, names: ReadonlyArray<string>, now: number): Effect.Effect<void> =>
  Effect.gen(function* () {
    const entries = yield* parts.disk.list([parts.root, ...names].join("/"))
    for (const { name, kind } of entries) {
      if (kind === "folder" && !(names.length === 0 && name === Folders.temporaryName))
        yield* cleanFolder(parts, [...names, name], now)
      const file = name.slice(0, -metadataSuffix.length)
      if (kind !== "folder" && name.endsWith(metadataSuffix))
        yield* removeExpired(parts, { folders: names, file }, now)
    }
  }).pipe(
    Effect.catchAll((error) =>
      Effect.logWarning("a folder of shared files can't be read").pipe(
        Effect.annotateLogs({ folder: names.join("/"), error: error.message })
      )
    )
  )

/** Removes what has expired by the clock of now; says in the log what can't be looked at. */
export const cleanUp = (parts: Parts): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => cleanFolder(parts, [], now)).pipe(
    Effect.withSpan("SharedFileStore.cleanUp")
  )

const readClocks = Effect.gen(function* () {
  return {
    wall: yield* Clock.currentTimeMillis,
    monotonic: yield* FiberClock.monotonic
  }
})

/** So far the two clocks may part between two clean-ups. Milliseconds. */
const largestJump = 60_000

/**
 * A clean-up that is left out when the wall clock did not go as fast as the monotonic one since the last, or since now:
 * what has expired can't be known then.
 */
export const steadily = (clean: Effect.Effect<void>): Effect.Effect<Effect.Effect<void>> =>
  Effect.map(readClocks, (start) => {
    let before = start
    return Effect.gen(function* () {
      const now = yield* readClocks
      const jump = now.wall - before.wall - (now.monotonic - before.monotonic)
      before = now
      if (Math.abs(jump) <= largestJump) return yield* clean
      yield* Effect.logWarning("the clock jumped: no shared file is removed this time").pipe(
        Effect.annotateLogs({ milliseconds: Math.round(jump) })
      )
    })
  })
