/**
 * The keys of requests in a folder: an empty file each, whose name says all there is to know,
 * `<digest of the key>.<run>.<digest of the order>.<waiting|binding>`. A change of state is a rename. When a key was
 * used is in the run's id.
 */
import { Clock, Duration, Effect, Option, RcMap, Schema, Scope } from "effect"
import type { DiskError, DiskService } from "../../disk/Disk.ts"
import * as Folders from "../../disk/Folders.ts"
import { failed, failedToWrite } from "../../disk/StorageFailure.ts"
import * as Permits from "../../Permits.ts"
import { type StorageError, TooBusy } from "../../RelayError.ts"
import { RunId, startedAt } from "../RunId.ts"
import { digestOf, type RunKey } from "../RunKey.ts"
import type { KnownKey, RunKeysService } from "./RunKeys.ts"

/** So long a key is known. */
const lifetime = Duration.toMillis(Duration.hours(24))

/** So many keys are known at once: a run every two seconds, day and night. They take some 15 MB of memory. */
const maxKeys = 50_000

interface Entry {
  readonly run: RunId
  readonly order: string
  isBinding: boolean
  /** What its file's name says. */
  state: "waiting" | "binding"
}

interface Parts {
  readonly disk: DiskService
  readonly folders: Folders.Folders
  readonly most: number
  /** By the digests of the keys, oldest first; undefined until the folder was read. */
  entries: Map<string, Entry> | undefined
  /** Whether the folder is known to be on the disk. */
  isPrepared: boolean
  /** Held while the folder is read, or made. */
  readonly preparing: Permits.Permits
  /** The last that was to be removed could not be, and the log has that. */
  isStuck: boolean
}

/** The keys, and what removes those that are too old. */
export interface FolderKeys extends RunKeysService {
  readonly prune: Effect.Effect<void>
}

/** @param root the folder, which need not be there; nothing is read or written until the first use */
export const make = (
  disk: DiskService,
  root: string,
  most = maxKeys
): Effect.Effect<FolderKeys, never, Scope.Scope> =>
  Effect.gen(function* () {
    const parts: Parts = {
      disk,
      folders: Folders.make(disk, { root, mode: 0o700, within: [] }),
      most,
      entries: undefined,
      isPrepared: false,
      preparing: Permits.make(1),
      isStuck: false
    }
    const locks = yield* RcMap.make({ lookup: (_: string) => Effect.sync(() => Permits.make(1)) })
    return {
      alone: (key, effect) =>
        Effect.scopedWith((scope) =>
          Effect.flatMap(Scope.extend(RcMap.get(locks, digestOf(key)), scope), (lock) => lock(effect))
        ),
      find: (key) => find(parts, key),
      reserve: (key, order, run) => reserve(parts, digestOf(key), order, run),
      bind: (key) => bind(parts, digestOf(key)),
      prune: Effect.ignore(Effect.flatMap(known(parts), (entries) => prune(parts, entries)))
    }
  })

const digest = /^[A-Za-z0-9_-]{43}$/
const isRunId = Schema.is(RunId)

const nameOf = (key: string, { run, order, state }: Entry): string => [key, run, order, state].join(".")

const entryOf = (name: string): readonly [string, Entry] | undefined => {
  const [key = "", run = "", order = "", state, ...more] = name.split(".")
  if (!digest.test(key) || !isRunId(run) || !digest.test(order) || more.length > 0) return undefined
  if (state !== "waiting" && state !== "binding") return undefined
  return [key, { run, order, state, isBinding: state === "binding" }]
}

/**
 * Of two files of a key, which only a disk that failed can leave, the later run's counts. What a relay that was killed
 * left is on the disk before it counts.
 */
const read = (parts: Parts) =>
  Effect.gen(function* () {
    const { disk, folders } = parts
    const entries = (yield* disk.list(folders.root)).flatMap(({ name }) => {
      const entry = entryOf(name)
      return entry === undefined ? [] : [entry]
    })
    if (entries.length > 0) yield* prepareFolder(parts)
    return new Map(entries.sort(([, a], [, b]) => (a.run < b.run ? -1 : 1)))
  })

/** Where the folder can't be read, nobody knows which keys were used: no run is started by a key then. */
const known = (parts: Parts): Effect.Effect<Map<string, Entry>, StorageError> =>
  parts
    .preparing(
      Effect.suspend(() =>
        parts.entries === undefined
          ? Effect.tap(read(parts), (entries) => {
              parts.entries = entries
            })
          : Effect.succeed(parts.entries)
      )
    )
    .pipe(Effect.catchAll(failed))

const isExpired = ({ run }: Entry, now: number): boolean => now - startedAt(run) >= lifetime

const find = (parts: Parts, key: RunKey): Effect.Effect<Option.Option<KnownKey>, StorageError> =>
  Effect.gen(function* () {
    const entries = yield* known(parts)
    const now = yield* Clock.currentTimeMillis
    return Option.filter(Option.fromNullable(entries.get(digestOf(key))), (entry) => !isExpired(entry, now))
  })

/** Removes what is too old, the oldest first. */
const prune = (parts: Parts, entries: Map<string, Entry>) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    for (const [key, entry] of entries) {
      if (!isExpired(entry, now)) return
      entries.delete(key)
      yield* remove(parts, key, entry)
    }
  }).pipe(Effect.uninterruptible)

/** There may be very many that can't be removed: that is in the log once, until one can be again. */
const remove = (parts: Parts, key: string, entry: Entry) =>
  parts.disk.remove(`${parts.folders.root}/${nameOf(key, entry)}`).pipe(
    Effect.tap(() => {
      parts.isStuck = false
    }),
    Effect.catchAll(({ message }) => {
      const isTold = parts.isStuck
      parts.isStuck = true
      return isTold
        ? Effect.void
        : Effect.logWarning("an old key of a run can't be removed").pipe(
            Effect.annotateLogs({ problem: message })
          )
    })
  )

const reserve = (parts: Parts, key: string, order: string, run: RunId) =>
  Effect.gen(function* () {
    const entries = yield* known(parts)
    yield* prune(parts, entries)
    if (entries.size >= parts.most) return yield* noPlace(entries)
    const entry: Entry = { run, order, state: "waiting", isBinding: false }
    // It counts while the disk still writes it, so that others who come meanwhile are not too many.
    entries.set(key, entry)
    yield* write(parts, key, entry).pipe(
      Effect.tapError(() => {
        entries.delete(key)
        return remove(parts, key, entry)
      }),
      Effect.catchAll(failedToWrite)
    )
  }).pipe(Effect.uninterruptible)

/** A key that is younger than its lifetime is never given up for another. */
const noPlace = (entries: Map<string, Entry>) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const [oldest] = entries.values()
    const wait = oldest === undefined ? 0 : startedAt(oldest.run) + lifetime - now
    return yield* new TooBusy({
      message: `${entries.size} runs were started with an Idempotency-Key in 24 h, and no more are known at once`,
      retryAfterSeconds: Math.max(1, Math.ceil(wait / 1000))
    })
  })

/** The folder itself is on the disk before the first file in it counts. */
const prepareFolder = (parts: Parts) =>
  Effect.suspend(() =>
    parts.isPrepared
      ? Effect.void
      : Effect.tap(parts.folders.prepare, () => {
          parts.isPrepared = true
        })
  )

const write = (parts: Parts, key: string, entry: Entry): Effect.Effect<void, DiskError> =>
  Effect.gen(function* () {
    const { disk, folders } = parts
    yield* parts.preparing(prepareFolder(parts))
    const create = Effect.flatMap(
      disk.create(`${folders.root}/${nameOf(key, entry)}`, 0o600),
      (file) => file.close
    )
    yield* folders.again(create)
    yield* disk.syncFolder(folders.root)
  })

const bind = (parts: Parts, key: string) =>
  Effect.gen(function* () {
    const entry = (yield* known(parts)).get(key)
    // It has expired meanwhile: nobody asks for it any more.
    if (entry === undefined || entry.isBinding) return
    yield* Effect.catchAll(rename(parts, key, entry), failed)
    entry.isBinding = true
  }).pipe(Effect.uninterruptible)

const rename = ({ disk, folders }: Parts, key: string, entry: Entry) =>
  Effect.gen(function* () {
    const path = (state: Entry["state"]) => `${folders.root}/${nameOf(key, { ...entry, state })}`
    if (entry.state === "waiting") yield* disk.rename(path("waiting"), path("binding"))
    entry.state = "binding"
    yield* disk.syncFolder(folders.root)
  })
