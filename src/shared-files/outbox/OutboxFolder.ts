/**
 * The outbox's storage in a folder. An entry is a folder, `entries/<shard>/<name>`, with its `content`, the `request`
 * record, and `attempts` once it was tried. It is made in `~tmp` and moved into place when all of it is on the disk; it
 * goes by being moved back there in one piece. What it is next, and when, is in its name (`EntryName`): a rename changes
 * it.
 */
import { randomUUID } from "node:crypto"
import { Clock, Effect, Layer, Option, type Scope } from "effect"
import { RelayConfig } from "../../config/RelayConfig.ts"
import type { Settings } from "../../config/Settings.ts"
import { Disk, type DiskError, type DiskService, isNotOfItsKind } from "../../disk/Disk.ts"
import * as Folders from "../../disk/Folders.ts"
import * as FolderUnusable from "../../disk/FolderUnusable.ts"
import * as Incoming from "../../disk/Incoming.ts"
import * as Lease from "../../disk/Lease.ts"
import * as RoomWatch from "../../disk/RoomWatch.ts"
import * as StorageFailure from "../../disk/StorageFailure.ts"
import * as TextFile from "../../disk/TextFile.ts"
import type { StorageError, StorageFull } from "../../RelayError.ts"
import * as EntryName from "./EntryName.ts"
import * as EntryRecord from "./EntryRecord.ts"
import { type MakeRoom, OutboxStorage } from "./OutboxStorage.ts"
import type { Spool } from "./Spool.ts"
import { Tally } from "./Tally.ts"

const folderMode = 0o700
const fileMode = 0o600
const entriesName = "entries"

/** What an outbox in a folder is made of. */
interface Parts {
  readonly disk: DiskService
  readonly folders: Folders.Folders
  readonly settings: Pick<Settings["sharedFiles"], "outboxMaxSize" | "minFree">
  readonly watchRoom: RoomWatch.RoomWatch<StorageFull | StorageError>
  readonly tally: Tally
  /** Shards whose folders were seen. */
  readonly known: Set<number>
  /** Shards from which a version was replaced, where that may not be on the disk yet; for each a mark of its last one. */
  readonly replaced: Map<number, object>
}

const make = Effect.gen(function* () {
  const { general, sharedFiles } = yield* RelayConfig
  const disk = yield* Disk
  const lease = yield* Lease.Lease
  const folders = Folders.make(disk, {
    root: sharedFiles.outbox,
    mode: folderMode,
    within: [Folders.temporaryName, entriesName]
  })
  const hold = Effect.provideService(Lease.hold(folders, general.shutdownGrace), Lease.Lease, lease)
  return OutboxStorage.of({
    open: (makeRoom) => Effect.andThen(hold, open(disk, folders, sharedFiles, makeRoom))
  })
})

/** The folder of the configuration, on the disk that is provided. It is made and taken when the outbox is opened. */
export const layer = Layer.effect(OutboxStorage, make)

/** Empties `~tmp`, and counts what is there, shard by shard. */
const open = (
  disk: DiskService,
  folders: Folders.Folders,
  settings: Parts["settings"],
  makeRoom: MakeRoom
): Effect.Effect<Spool, FolderUnusable.FolderUnusable> =>
  Effect.gen(function* () {
    const parts: Parts = {
      disk,
      folders,
      settings,
      watchRoom: RoomWatch.make(makeRoom),
      tally: new Tally(),
      known: new Set(),
      replaced: new Map()
    }
    yield* folders.emptyTemporary
    yield* count(parts)
    return spoolOf(parts)
  }).pipe(Effect.catchTag("DiskError", ({ message }) => FolderUnusable.because(folders.root, message)))

const count = (parts: Parts) =>
  Effect.gen(function* () {
    const { disk, folders, known, replaced, tally } = parts
    for (const { name } of yield* disk.list(`${folders.root}/${entriesName}`)) {
      const number = Option.getOrUndefined(EntryName.parseShard(name))
      if (number === undefined) continue
      known.add(number)
      // What the process before this one replaced may not be on the disk.
      replaced.set(number, {})
      for (const entry of yield* shard(parts, number)) tally.add(entry)
    }
  })

const spoolOf = (parts: Parts): Spool => {
  const { disk, folders, known, replaced, tally } = parts
  return {
    begin: begin(parts),
    commit: (...content) => commit(parts, ...content),
    versions: (key) => versions(parts, key),
    shard: (number) => shard(parts, number),
    shards: () => [...known],
    record: (entry) => read(parts, entry, "request", EntryRecord.parse),
    attempts: (entry) => read(parts, entry, "attempts", EntryRecord.parseAttempts),
    isWhole: (entry) =>
      Effect.map(
        disk.status(`${pathOf(parts, entry)}/content`),
        (found) => found?.kind === "file" && found.size === entry.size
      ),
    content: (entry) => disk.read(`${pathOf(parts, entry)}/content`),
    change: (entry, next, options) => change(parts, entry, next, options),
    remove: (entry, options) => remove(parts, entry, options?.replaced === true),
    sync: (key) => sync(parts, key),
    syncReplaced: (key) =>
      Effect.suspend(() => (replaced.has(EntryName.shardOf(key)) ? sync(parts, key) : Effect.void)),
    missing: (size) => missing(parts, size),
    amounts: () => tally.amounts,
    problem: Folders.problem(disk, folders)
  }
}

const shardPath = ({ folders }: Parts, shard: number): string =>
  `${folders.root}/${entriesName}/${EntryName.printShard(shard)}`

const folderOf = (parts: Parts, key: string): string => shardPath(parts, EntryName.shardOf(key))

const pathOf = (parts: Parts, entry: EntryName.EntryName): string =>
  `${folderOf(parts, entry.key)}/${EntryName.print(entry)}`

const shard = (parts: Parts, number: number) =>
  Effect.map(
    parts.known.has(number) ? parts.disk.list(shardPath(parts, number)) : Effect.succeed([]),
    (found) => found.flatMap(({ name }) => Option.toArray(EntryName.parse(name)))
  )

const versions = (parts: Parts, key: string) =>
  Effect.map(shard(parts, EntryName.shardOf(key)), (found) =>
    found.filter((entry) => entry.key === key).sort(EntryName.byAge)
  )

/** What can't be removed is in nobody's way: the next start removes it. */
const discard = ({ disk, folders }: Parts, name: string) =>
  Effect.ignore(Folders.remove(disk, `${folders.temporary}/${name}`))

const begin = (parts: Parts): Effect.Effect<Incoming.Incoming, StorageFull | StorageError, Scope.Scope> => {
  const { disk, folders, settings, watchRoom, tally } = parts
  return Effect.gen(function* () {
    const name = randomUUID()
    const folder = `${folders.temporary}/${name}`
    yield* Effect.acquireRelease(folders.again(disk.makeFolder(folder, folderMode)), () =>
      discard(parts, name)
    )
    const count = yield* tally.counting
    const room = (size: number) => {
      const looked = watchRoom(size, tally.bytes + size > settings.outboxMaxSize)
      if (looked !== undefined) return Effect.map(looked, () => count(size))
      // What fits is counted at once, so that no other content is promised the same room.
      count(size)
      return undefined
    }
    return yield* Incoming.open(name, disk.create(`${folder}/content`, fileMode), room)
  }).pipe(Effect.catchAll(StorageFailure.failedToWrite))
}

const writeText = ({ disk }: Parts, path: string, text: string, durable: boolean) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    TextFile.write(disk, path, text, { mode: fileMode, synced: durable ? now : undefined })
  )

const commit = (parts: Parts, ...[incoming, record, { key, order }]: Parameters<Spool["commit"]>) =>
  Effect.gen(function* () {
    const { disk, folders, tally } = parts
    const size = Option.getOrElse(record.metadata.size, () => 0)
    const entry: EntryName.EntryName = { key, order, size, state: "waiting", time: record.accepted }
    const folder = `${folders.temporary}/${incoming.name}`
    yield* incoming.sync(record.accepted)
    yield* writeText(parts, `${folder}/request`, EntryRecord.print(record), true)
    yield* disk.syncFolder(folder)
    yield* place(parts, folder, entry)
    tally.add(entry)
    // An entry whose place may not be on the disk is not acknowledged, and not kept.
    yield* Effect.tapError(disk.syncFolder(folderOf(parts, key)), () =>
      Effect.ignore(Effect.map(disk.rename(pathOf(parts, entry), folder), () => tally.subtract(entry)))
    )
    return entry
  }).pipe(Effect.uninterruptible)

/** Moves an entry to its place. The folder of a shard that was seen may have been removed since. */
const place = (parts: Parts, folder: string, entry: EntryName.EntryName) => {
  const { disk, folders, known } = parts
  const number = EntryName.shardOf(entry.key)
  const makeShard = Effect.map(folders.make([entriesName, EntryName.printShard(number)]), () =>
    known.add(number)
  )
  const move = disk.rename(folder, pathOf(parts, entry))
  const moveIntoNew = folders.again(Effect.andThen(makeShard, move))
  return known.has(number) ? Effect.catchIf(move, Folders.isMissing, () => moveIntoNew) : moveIntoNew
}

const change = (
  parts: Parts,
  ...[entry, next, { attempts, durable }]: Parameters<Spool["change"]>
): Effect.Effect<EntryName.EntryName, DiskError> =>
  Effect.gen(function* () {
    const { disk, tally } = parts
    const after = { ...entry, ...next }
    if (attempts !== undefined) yield* note(parts, entry, attempts, durable)
    if (EntryName.print(after) !== EntryName.print(entry))
      yield* disk.rename(pathOf(parts, entry), pathOf(parts, after))
    tally.subtract(entry)
    tally.add(after)
    if (durable) yield* disk.syncFolder(folderOf(parts, entry.key))
    return after
  }).pipe(Effect.uninterruptible)

const note = (parts: Parts, entry: EntryName.EntryName, attempts: EntryRecord.Attempts, durable: boolean) =>
  Effect.gen(function* () {
    const { disk } = parts
    const folder = pathOf(parts, entry)
    yield* disk.remove(`${folder}/attempts.new`)
    yield* writeText(parts, `${folder}/attempts.new`, EntryRecord.printAttempts(attempts), durable)
    yield* disk.rename(`${folder}/attempts.new`, `${folder}/attempts`)
    if (durable) yield* disk.syncFolder(folder)
  })

const remove = (parts: Parts, entry: EntryName.EntryName, isReplaced: boolean) =>
  Effect.gen(function* () {
    const { disk, folders, replaced, tally } = parts
    const name = randomUUID()
    if (isReplaced) replaced.set(EntryName.shardOf(entry.key), {})
    yield* disk.rename(pathOf(parts, entry), `${folders.temporary}/${name}`)
    tally.subtract(entry)
    yield* discard(parts, name)
  }).pipe(Effect.uninterruptible)

const sync = (parts: Parts, key: string) =>
  Effect.suspend(() => {
    const { disk, replaced } = parts
    const shard = EntryName.shardOf(key)
    const last = replaced.get(shard)
    return Effect.map(disk.syncFolder(shardPath(parts, shard)), () => {
      // Another version may have been replaced while this was under way.
      if (replaced.get(shard) === last) replaced.delete(shard)
    })
  })

const read = <A>(
  parts: Parts,
  entry: EntryName.EntryName,
  file: string,
  parse: (text: string) => Option.Option<A>
) =>
  parts.disk.readText(`${pathOf(parts, entry)}/${file}`).pipe(
    // A link or a folder in the place of the file was not written by a relay, no more than a text that can't be parsed.
    Effect.catchIf(isNotOfItsKind, () => Effect.succeed(undefined)),
    Effect.map((text) => Option.flatMap(Option.fromNullable(text), parse))
  )

const missing = ({ disk, folders, settings, tally }: Parts, size: number) =>
  Effect.map(folders.again(disk.free(folders.root)), (free) =>
    Math.max(0, tally.bytes + size - settings.outboxMaxSize, settings.minFree - (free - size))
  )
