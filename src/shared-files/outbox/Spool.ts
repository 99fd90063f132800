/**
 * The outbox on disk. An entry is a folder, `entries/<shard>/<name>`, with its `content`, the `request` record, and
 * `attempts` once it was tried. It is made in `~tmp` and moved into place when all of it is on the disk; it goes by
 * being moved back there in one piece. What it is next, and when, is in its name (`EntryName`): a rename changes it.
 *
 * Of two versions of a file only the newer one counts, so a stop between any two steps leaves nothing to repair.
 */
import { randomUUID } from "node:crypto"
import { Clock, Effect, Option, type Scope } from "effect"
import { type Disk, type DiskError, isNotOfItsKind } from "../../disk/Disk.ts"
import * as Folders from "../../disk/Folders.ts"
import * as Incoming from "../../disk/Incoming.ts"
import * as RoomWatch from "../../disk/RoomWatch.ts"
import * as StorageFailure from "../../disk/StorageFailure.ts"
import * as TextFile from "../../disk/TextFile.ts"
import type { StorageError, StorageFull } from "../../RelayError.ts"
import * as EntryName from "./EntryName.ts"
import * as EntryRecord from "./EntryRecord.ts"

export interface SpoolSettings {
  /** Bytes of content, what is on its way in included. */
  readonly maxSize: number
  /** Bytes that stay free on the file system. */
  readonly minFree: number
}

/** How much there is of a kind. */
export interface Amount {
  readonly entries: number
  /** Of content. */
  readonly bytes: number
}

export interface Spool {
  /** A content on its way in: gone with its scope unless it was committed. Its writes fail with `StorageFull` too. */
  readonly begin: Effect.Effect<Incoming.Incoming, StorageFull | StorageError, Scope.Scope>
  /** Makes it an entry, due now: on the disk when this returns. */
  readonly commit: (
    incoming: Incoming.Incoming,
    record: EntryRecord.EntryRecord,
    entry: Pick<EntryName.EntryName, "key" | "order">
  ) => Effect.Effect<EntryName.EntryName, DiskError>
  /** The versions of a file, newest first. */
  readonly versions: (key: string) => Effect.Effect<ReadonlyArray<EntryName.EntryName>, DiskError>
  readonly shard: (shard: number) => Effect.Effect<ReadonlyArray<EntryName.EntryName>, DiskError>
  /** The shards that may have entries. */
  readonly shards: () => ReadonlyArray<number>
  /** None where it can't be read as what was written. */
  readonly record: (
    entry: EntryName.EntryName
  ) => Effect.Effect<Option.Option<EntryRecord.EntryRecord>, DiskError>
  readonly attempts: (
    entry: EntryName.EntryName
  ) => Effect.Effect<Option.Option<EntryRecord.Attempts>, DiskError>
  /** Whether the content is there, whole. */
  readonly isWhole: (entry: EntryName.EntryName) => Effect.Effect<boolean, DiskError>
  readonly content: (entry: EntryName.EntryName) => AsyncIterable<Uint8Array>
  /** Gives it another state and time, and notes what was tried. What is `durable` is on the disk afterwards. */
  readonly change: (
    entry: EntryName.EntryName,
    next: Pick<EntryName.EntryName, "state" | "time">,
    options: { readonly attempts?: EntryRecord.Attempts; readonly durable: boolean }
  ) => Effect.Effect<EntryName.EntryName, DiskError>
  /** Of what is `replaced`, `settle` sees to it that it does not come back behind a stop. */
  readonly remove: (
    entry: EntryName.EntryName,
    options?: { readonly replaced: boolean }
  ) => Effect.Effect<void, DiskError>
  /** What was removed from a file's shard is so on the disk. */
  readonly sync: (key: string) => Effect.Effect<void, DiskError>
  /** The same, where a version may have been replaced since the last time: to be done before a newer one is sent. */
  readonly settle: (key: string) => Effect.Effect<void, DiskError>
  /** Bytes that are missing for this many more, in the outbox or on the disk; 0 when there is room. */
  readonly missing: (size: number) => Effect.Effect<number, DiskError>
  readonly amounts: () => { readonly waiting: Amount; readonly refused: Amount }
}

const folderMode = 0o700
const fileMode = 0o600
const entriesName = "entries"

/** The folders of an outbox. */
export const foldersAt = (disk: Disk["Type"], root: string): Folders.Folders =>
  Folders.make(disk, { root, mode: folderMode, within: [Folders.temporaryName, entriesName] })

/** How much is held, by what the names say. */
class Tally {
  readonly waiting = { entries: 0, bytes: 0 }
  readonly refused = { entries: 0, bytes: 0 }
  /** Of contents on their way in. */
  incoming = 0

  add({ state, size }: EntryName.EntryName, sign: 1 | -1): void {
    this[state].entries += sign
    this[state].bytes += sign * size
  }

  get bytes(): number {
    return this.waiting.bytes + this.refused.bytes + this.incoming
  }
}

/**
 * Opens the outbox, empties `~tmp`, and counts what is there, shard by shard.
 *
 * @param folders made, and this relay's alone
 * @param makeRoom called where there is no room for a piece of content
 */
export const open = (
  disk: Disk["Type"],
  folders: Folders.Folders,
  { maxSize, minFree }: SpoolSettings,
  makeRoom: (size: number) => Effect.Effect<void, StorageFull | StorageError>
): Effect.Effect<Spool, DiskError> =>
  Effect.gen(function* () {
    const watchRoom = RoomWatch.make(makeRoom)
    const { root, temporary } = folders
    const entries = `${root}/${entriesName}`
    const tally = new Tally()
    const known = new Set<number>()

    const shardPath = (shard: number) => `${entries}/${EntryName.printShard(shard)}`
    const folderOf = (key: string) => shardPath(EntryName.shardOf(key))
    const pathOf = (entry: EntryName.EntryName) => `${folderOf(entry.key)}/${EntryName.print(entry)}`

    const shard = (number: number) =>
      Effect.map(known.has(number) ? disk.list(shardPath(number)) : Effect.succeed([]), (found) =>
        found.flatMap(({ name }) => Option.toArray(EntryName.parse(name)))
      )

    const versions = (key: string) =>
      Effect.map(shard(EntryName.shardOf(key)), (found) =>
        found.filter((entry) => entry.key === key).sort(EntryName.byAge)
      )

    const makeShard = (number: number) =>
      Effect.map(folders.make([entriesName, EntryName.printShard(number)]), () => known.add(number))

    /** Moves an entry to its place. A shard that is known may have been removed all the same. */
    const place = (folder: string, entry: EntryName.EntryName) => {
      const number = EntryName.shardOf(entry.key)
      const move = disk.rename(folder, pathOf(entry))
      const moveIntoNew = folders.again(Effect.andThen(makeShard(number), move))
      return known.has(number) ? Effect.catchIf(move, Folders.isMissing, () => moveIntoNew) : moveIntoNew
    }

    /** Nothing that matters is lost where this fails: the next start removes it. */
    const discard = (name: string) => Effect.ignore(Folders.remove(disk, `${temporary}/${name}`))

    const begin = Effect.gen(function* () {
      const name = randomUUID()
      const folder = `${temporary}/${name}`
      yield* Effect.acquireRelease(folders.again(disk.makeFolder(folder, folderMode)), () => discard(name))
      const hold = yield* Effect.acquireRelease(Effect.succeed({ bytes: 0, ended: false }), (held) =>
        Effect.sync(() => {
          held.ended = true
          tally.incoming -= held.bytes
        })
      )
      const count = (size: number) => {
        if (hold.ended) return
        hold.bytes += size
        tally.incoming += size
      }
      const room = (size: number) => {
        // What fits is counted at once: nobody else may be told meanwhile that it is free.
        const looked = watchRoom(size, tally.bytes + size > maxSize)
        if (looked !== undefined) return Effect.map(looked, () => count(size))
        count(size)
        return undefined
      }
      return yield* Incoming.open(name, disk.create(`${folder}/content`, fileMode), room)
    }).pipe(Effect.catchAll(StorageFailure.failedToWrite))

    const writeText = (path: string, text: string, durable: boolean) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        TextFile.write(disk, path, text, { mode: fileMode, synced: durable ? now : undefined })
      )

    const commit: Spool["commit"] = (incoming, record, { key, order }) =>
      Effect.gen(function* () {
        const size = Option.getOrElse(record.metadata.size, () => 0)
        const entry: EntryName.EntryName = { key, order, size, state: "waiting", time: record.accepted }
        const folder = `${temporary}/${incoming.name}`
        yield* incoming.sync(record.accepted)
        yield* writeText(`${folder}/request`, EntryRecord.print(record), true)
        yield* disk.syncFolder(folder)
        yield* place(folder, entry)
        tally.add(entry, 1)
        // An entry whose place may not be on the disk is not acknowledged, and not kept.
        yield* Effect.tapError(disk.syncFolder(folderOf(key)), () => Effect.ignore(takeBack(entry, folder)))
        return entry
      }).pipe(Effect.uninterruptible)

    const takeBack = (entry: EntryName.EntryName, folder: string) =>
      Effect.map(disk.rename(pathOf(entry), folder), () => tally.add(entry, -1))

    const change: Spool["change"] = (entry, next, { attempts, durable }) =>
      Effect.gen(function* () {
        const after = { ...entry, ...next }
        if (attempts !== undefined) yield* note(entry, attempts, durable)
        if (EntryName.print(after) !== EntryName.print(entry))
          yield* disk.rename(pathOf(entry), pathOf(after))
        tally.add(entry, -1)
        tally.add(after, 1)
        if (durable) yield* disk.syncFolder(folderOf(entry.key))
        return after
      }).pipe(Effect.uninterruptible)

    /** Where a stop loses what was tried, that is tried again sooner. */
    const note = (entry: EntryName.EntryName, attempts: EntryRecord.Attempts, durable: boolean) =>
      Effect.gen(function* () {
        const folder = pathOf(entry)
        yield* disk.remove(`${folder}/attempts.new`)
        yield* writeText(`${folder}/attempts.new`, EntryRecord.printAttempts(attempts), durable)
        yield* disk.rename(`${folder}/attempts.new`, `${folder}/attempts`)
        if (durable) yield* disk.syncFolder(folder)
      })

    /** Shards from which something was replaced, not yet on the disk for sure: the last of it. */
    const unsettled = new Map<number, object>()
    const unsettle = (shard: number) => unsettled.set(shard, {})

    const sync: Spool["sync"] = (key) =>
      Effect.suspend(() => {
        const shard = EntryName.shardOf(key)
        const last = unsettled.get(shard)
        return Effect.map(disk.syncFolder(shardPath(shard)), () => {
          if (unsettled.get(shard) === last) unsettled.delete(shard)
        })
      })

    const settle: Spool["settle"] = (key) =>
      Effect.suspend(() => (unsettled.has(EntryName.shardOf(key)) ? sync(key) : Effect.void))

    const remove: Spool["remove"] = (entry, options = { replaced: false }) =>
      Effect.gen(function* () {
        const name = randomUUID()
        if (options.replaced) unsettle(EntryName.shardOf(entry.key))
        yield* disk.rename(pathOf(entry), `${temporary}/${name}`)
        tally.add(entry, -1)
        yield* discard(name)
      }).pipe(Effect.uninterruptible)

    const readWith = <A>(
      entry: EntryName.EntryName,
      file: string,
      parse: (text: string) => Option.Option<A>
    ) =>
      disk.readText(`${pathOf(entry)}/${file}`).pipe(
        // What is no file was not written by a relay, no more than one that can't be parsed.
        Effect.catchIf(isNotOfItsKind, () => Effect.succeed(undefined)),
        Effect.map((text) => Option.flatMap(Option.fromNullable(text), parse))
      )

    const missing = (size: number) =>
      Effect.map(folders.again(disk.free(root)), (free) =>
        Math.max(0, tally.bytes + size - maxSize, minFree - (free - size))
      )

    yield* folders.emptyTemporary
    for (const { name } of yield* disk.list(entries)) {
      const number = EntryName.parseShard(name)
      if (Option.isNone(number)) continue
      known.add(number.value)
      unsettle(number.value)
      for (const entry of yield* shard(number.value)) tally.add(entry, 1)
    }
    return {
      begin,
      commit,
      versions,
      shard,
      shards: () => [...known],
      record: (entry) => readWith(entry, "request", EntryRecord.parse),
      attempts: (entry) => readWith(entry, "attempts", EntryRecord.parseAttempts),
      isWhole: (entry) =>
        Effect.map(
          disk.status(`${pathOf(entry)}/content`),
          (found) => found?.kind === "file" && found.size === entry.size
        ),
      content: (entry) => disk.read(`${pathOf(entry)}/content`),
      change,
      remove,
      sync,
      settle,
      missing,
      amounts: () => ({ waiting: { ...tally.waiting }, refused: { ...tally.refused } })
    }
  })
