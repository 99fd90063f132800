/**
 * The outbox's storage in a folder. An entry is a folder, `entries/<shard>/<name>`, with its `content`, the `request`
 * record, and `attempts` once it was tried. It is made in `~tmp` and moved into place when all of it is on the disk; it
 * goes by being moved back there in one piece. What it is next, and when, is in its name (`EntryName`): a rename changes
 * it.
 */
import { randomUUID } from "node:crypto"
import { Clock, Effect, Either, Layer, Option, type Scope } from "effect"
import * as Acquired from "../../Acquired.ts"
import { RelayConfig } from "../../config/RelayConfig.ts"
import type { Settings } from "../../config/Settings.ts"
import {
  Disk,
  type DiskError,
  type DiskService,
  type DiskStep,
  isNotOfItsKind,
  notOfItsKind
} from "../../disk/Disk.ts"
import * as Folders from "../../disk/Folders.ts"
import * as FolderUnusable from "../../disk/FolderUnusable.ts"
import * as Incoming from "../../disk/Incoming.ts"
import * as Lease from "../../disk/Lease.ts"
import * as RoomWatch from "../../disk/RoomWatch.ts"
import type { StorageError, StorageFull } from "../../RelayError.ts"
import * as EntryName from "./EntryName.ts"
import * as EntryRecord from "./EntryRecord.ts"
import * as EntrySteps from "./EntrySteps.ts"
import * as InheritedShards from "./InheritedShards.ts"
import { type MakeRoom, OutboxStorage } from "./OutboxStorage.ts"
import type { Spool } from "./Spool.ts"
import { Tally } from "./Tally.ts"

const folderMode = 0o700
const fileMode = 0o600
const entriesName = "entries"

/** A content of so many bytes is written by its commit, in one piece, and read in one. */
const mostHeld = 64 * 1024

/** What an outbox in a folder is made of. */
interface Parts {
  readonly disk: DiskService
  readonly folders: Folders.Folders
  readonly settings: Pick<Settings["sharedFiles"], "outboxMaxSize" | "minFree">
  readonly watchRoom: RoomWatch.RoomWatch<StorageFull | StorageError>
  readonly tally: Tally
  /** Shards whose folders were seen, and how many entries each has. */
  readonly known: Map<number, number>
  /** Contents on their way in that may have a folder in `~tmp`. */
  readonly begun: Set<string>
  /** Contents on their way in; of some all is in memory, and will need its room on the disk. */
  readonly incoming: Set<Incoming.Incoming>
  /** Shards from which a version was replaced, where that may not be on the disk yet; for each a mark of its last one. */
  readonly replaced: Map<number, object>
  /** Shards from which the process before this one may have replaced a version, and the sync of them that is under way. */
  readonly inherited: InheritedShards.InheritedShards
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
      known: new Map(),
      begun: new Set(),
      incoming: new Set(),
      replaced: new Map(),
      inherited: new Map()
    }
    yield* folders.emptyTemporary
    yield* count(parts)
    return spoolOf(parts)
  }).pipe(Effect.catchTag("DiskError", ({ message }) => FolderUnusable.because(folders.root, message)))

const count = (parts: Parts) =>
  Effect.gen(function* () {
    const { disk, folders, inherited, known, tally } = parts
    for (const { name } of yield* disk.list(`${folders.root}/${entriesName}`)) {
      const number = Option.getOrUndefined(EntryName.parseShard(name))
      if (number === undefined) continue
      inherited.set(number, undefined)
      const entries = yield* namesIn(parts, number)
      known.set(number, entries.length)
      for (const entry of entries) tally.add(entry)
    }
  })

const spoolOf = (parts: Parts): Spool => {
  const { disk, folders, known, tally } = parts
  return {
    begin: begin(parts),
    commit: (...content) => commit(parts, ...content),
    versions: (key) => versions(parts, key),
    shard: (number) => shard(parts, number),
    shards: () => [...known.keys()],
    record: (entry) => read(parts, entry, "request", EntryRecord.parse),
    attempts: (entry) => read(parts, entry, "attempts", EntryRecord.parseAttempts),
    isWhole: (entry) =>
      Effect.map(
        disk.status(`${pathOf(parts, entry)}/content`),
        (found) => found?.kind === "file" && found.size === entry.size
      ),
    content: (entry) => disk.read(`${pathOf(parts, entry)}/content`),
    smallContent: (entry) =>
      entry.size > mostHeld
        ? Effect.succeed(undefined)
        : Effect.catchIf(disk.readSmall(`${pathOf(parts, entry)}/content`), isNotOfItsKind, () =>
            Effect.succeed(undefined)
          ),
    change: (entry, next, options) => change(parts, entry, next, options),
    remove: (entry, options) => remove(parts, entry, options?.replaced === true),
    sync: (key) => sync(parts, key),
    syncReplaced: (key) => syncReplaced(parts, key),
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

/** A shard of which it is known that nothing is in it is not looked at: with few entries that is so of most. */
const shard = (parts: Parts, number: number) =>
  (parts.known.get(number) ?? 0) > 0 ? namesIn(parts, number) : Effect.succeed([])

const namesIn = (parts: Parts, number: number) =>
  Effect.map(parts.disk.names(shardPath(parts, number)), (names) =>
    names.flatMap((name) => Option.toArray(EntryName.parse(name)))
  )

/** An entry came to its shard, or went. */
const counted = ({ known, tally }: Parts, entry: EntryName.EntryName, sign: 1 | -1): void => {
  const shard = EntryName.shardOf(entry.key)
  known.set(shard, (known.get(shard) ?? 0) + sign)
  tally[sign === 1 ? "add" : "subtract"](entry)
}

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
    const name = yield* Acquired.acquire(randomUUID, (begun) =>
      Effect.suspend(() => (parts.begun.delete(begun) ? discard(parts, begun) : Effect.void))
    )
    const folder = `${folders.temporary}/${name}`
    const create = Effect.suspend(() => {
      parts.begun.add(name)
      return Effect.andThen(
        folders.again(disk.makeFolder(folder, folderMode)),
        disk.create(`${folder}/content`, fileMode)
      )
    })
    const count = yield* tally.counting
    const room = (size: number) => {
      const looked = watchRoom(size, tally.bytes + size > settings.outboxMaxSize)
      if (looked !== undefined) return Effect.map(looked, () => count(size))
      // What fits is counted at once, so that no other content is promised the same room.
      count(size)
      return undefined
    }
    const opened = yield* Incoming.open(name, create, room, mostHeld)
    return yield* Acquired.acquire(
      () => parts.incoming.add(opened) && opened,
      () => Effect.sync(() => parts.incoming.delete(opened))
    )
  })
}

const commit = (parts: Parts, ...[incoming, record, { key, order }]: Parameters<Spool["commit"]>) =>
  Effect.gen(function* () {
    const { folders, begun } = parts
    const size = Option.getOrElse(record.metadata.size, () => 0)
    const entry: EntryName.EntryName = { key, order, size, state: "waiting", time: record.accepted }
    const held = incoming.held()
    begun.add(incoming.name)
    if (held === undefined) yield* incoming.sync(record.accepted)
    const places = {
      begun: `${folders.temporary}/${incoming.name}`,
      place: pathOf(parts, entry),
      shard: folderOf(parts, key),
      entries: `${folders.root}/${entriesName}`
    }
    yield* settle(parts, places, held, record, entry).pipe(
      // An entry whose place may not be on the disk is not acknowledged, and not kept.
      Effect.tapError(() => takeBack(parts, places, entry))
    )
    begun.delete(incoming.name)
    parts.incoming.delete(incoming)
    counted(parts, entry, 1)
    return entry
  }).pipe(Effect.uninterruptible)

/** Makes an entry; once more where the folders that it is made in and moved to were removed since they were seen. */
const settle = (
  parts: Parts,
  places: EntrySteps.EntryPlaces,
  held: Uint8Array | undefined,
  record: EntryRecord.EntryRecord,
  { key }: EntryName.EntryName
) =>
  Effect.gen(function* () {
    const { disk, folders, known } = parts
    const shard = EntryName.shardOf(key)
    const isKnown = known.has(shard)
    if (!isKnown) yield* checkShard(parts, places.shard)
    yield* disk
      .sequence(EntrySteps.make(places, held, record, isKnown))
      .pipe(
        Effect.catchIf(Folders.isMissing, () =>
          Effect.andThen(folders.prepare, disk.sequence(EntrySteps.makeAnew(places, held, record)))
        )
      )
    if (!known.has(shard)) known.set(shard, 0)
  })

/** What is in the place of a shard that was not seen is no link that leads elsewhere. */
const checkShard = ({ disk }: Parts, path: string) =>
  Effect.flatMap(disk.status(path), (found) =>
    found === undefined || found.kind === "folder" ? Effect.void : notOfItsKind(path)
  )

const takeBack = (
  parts: Parts,
  { begun, place }: EntrySteps.EntryPlaces,
  entry: EntryName.EntryName
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const moved = yield* Effect.either(parts.disk.rename(place, begun))
    if (Either.isRight(moved)) return
    const found = yield* Effect.either(parts.disk.status(place))
    const isThere = Either.isRight(found) ? found.right !== undefined : !Folders.isMissing(moved.left)
    if (isThere) counted(parts, entry, 1)
    // Were the shard thought to be empty too soon, nothing in it would be looked at.
    if (Either.isLeft(found)) parts.known.set(EntryName.shardOf(entry.key), Number.POSITIVE_INFINITY)
  })

const change = (
  parts: Parts,
  ...[entry, next, { attempts, durable }]: Parameters<Spool["change"]>
): Effect.Effect<EntryName.EntryName, DiskError> =>
  Effect.gen(function* () {
    const { disk, tally } = parts
    const after = { ...entry, ...next }
    const now = yield* Clock.currentTimeMillis
    const [from, to] = [pathOf(parts, entry), pathOf(parts, after)]
    const noted = attempts === undefined ? [] : EntrySteps.note(from, attempts, durable ? now : undefined)
    const moved: ReadonlyArray<DiskStep> = from === to ? [] : [{ _tag: "Rename", from, to }]
    const synced: ReadonlyArray<DiskStep> = durable
      ? [{ _tag: "SyncFolder", path: folderOf(parts, entry.key) }]
      : []
    yield* disk.sequence([...noted, ...moved, ...synced])
    tally.subtract(entry)
    tally.add(after)
    return after
  }).pipe(Effect.uninterruptible)

const remove = (parts: Parts, entry: EntryName.EntryName, isReplaced: boolean) =>
  Effect.gen(function* () {
    const { disk, folders, replaced } = parts
    const gone = `${folders.temporary}/${randomUUID()}`
    if (isReplaced) replaced.set(EntryName.shardOf(entry.key), {})
    yield* disk.sequence(EntrySteps.remove(pathOf(parts, entry), gone))
    counted(parts, entry, -1)
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

const syncReplaced = (parts: Parts, key: string) =>
  Effect.suspend(() => {
    const { disk, inherited, replaced } = parts
    const shard = EntryName.shardOf(key)
    const own = Effect.suspend(() => (replaced.has(shard) ? sync(parts, key) : Effect.void))
    if (!inherited.has(shard)) return own
    const syncing: InheritedShards.Syncing = {
      sync: (shards) =>
        disk.sequence(shards.map((each) => ({ _tag: "SyncFolder", path: shardPath(parts, each) }))),
      failed: (each) => void replaced.set(each, {})
    }
    return Effect.andThen(InheritedShards.sync(inherited, shard, syncing), own)
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

const missing = ({ disk, folders, settings, tally, incoming }: Parts, size: number) =>
  Effect.map(folders.again(disk.free(folders.root)), (free) => {
    let held = 0
    for (const content of incoming) held += content.held()?.length ?? 0
    return Math.max(0, tally.bytes + size - settings.outboxMaxSize, settings.minFree - (free - held - size))
  })
