/**
 * The outbox's storage in a folder. An entry is a file, `entries/<shard>/<name>`, with its content and, behind that, the
 * request (`EntryTail`); once it was tried, there is a file of `attempts` beside it. It is made in `~tmp` and moved into
 * place when all of it is on the disk. What it is next, and when, is in its name (`EntryName`): a rename changes it. What
 * older relays left are folders, with files for each of the three.
 */
import { randomUUID } from "node:crypto"
import { Clock, Effect, Either, Layer, Option, type Scope } from "effect"
import * as AtOnce from "../../AtOnce.ts"
import { RelayConfig } from "../../config/RelayConfig.ts"
import type { Settings } from "../../config/Settings.ts"
import { Disk, type DiskError, type DiskService, type DiskStep } from "../../disk/Disk.ts"
import * as Folders from "../../disk/Folders.ts"
import * as FolderUnusable from "../../disk/FolderUnusable.ts"
import * as Incoming from "../../disk/Incoming.ts"
import * as Lease from "../../disk/Lease.ts"
import type { StorageError, StorageFull } from "../../RelayError.ts"
import * as EntryFiles from "./EntryFiles.ts"
import * as EntryName from "./EntryName.ts"
import * as EntrySteps from "./EntrySteps.ts"
import * as IncomingEntries from "./IncomingEntries.ts"
import * as OutboxSpace from "./OutboxSpace.ts"
import { type MakeRoom, OutboxStorage } from "./OutboxStorage.ts"
import * as RecentShards from "./RecentShards.ts"
import * as Removals from "./Removals.ts"
import * as SeenKeys from "./SeenKeys.ts"
import * as ShardSyncs from "./ShardSyncs.ts"
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
  readonly space: OutboxSpace.OutboxSpace
  readonly tally: Tally
  /** Shards whose folders were seen, and how many entries each has. */
  readonly known: Map<number, number>
  readonly seen: SeenKeys.SeenKeys
  readonly recent: RecentShards.RecentShards
  readonly removals: Removals.Removals
  /** A name in `~tmp` that nothing else had. */
  readonly newName: () => string
  /** Contents on their way in that may have a file in `~tmp`. */
  readonly begun: IncomingEntries.IncomingEntries
  readonly syncs: ShardSyncs.ShardSyncs
}

/** What `layer` has. */
export const make = Effect.gen(function* () {
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
    const tally = new Tally()
    const clock = yield* Effect.clock
    const names = randomUUID()
    let given = 0
    const parts: Parts = {
      disk,
      folders,
      settings,
      space: OutboxSpace.make({ disk, folders, settings, tally, makeRoom, clock }),
      tally,
      known: new Map(),
      seen: SeenKeys.make(),
      recent: new Map(),
      removals: Removals.make(disk, folders.temporary),
      newName: () => `${names}-${++given}`,
      begun: new Map(),
      syncs: ShardSyncs.make(disk, (shard) => shardPath(folders, shard))
    }
    yield* folders.emptyTemporary
    yield* count(parts)
    return spoolOf(parts)
  }).pipe(Effect.catchTag("DiskError", ({ message }) => FolderUnusable.because(folders.root, message)))

const count = (parts: Parts) =>
  Effect.gen(function* () {
    const { disk, folders, known, seen, syncs, tally } = parts
    for (const { name } of yield* disk.list(`${folders.root}/${entriesName}`)) {
      const number = Option.getOrUndefined(EntryName.parseShard(name))
      if (number === undefined) continue
      ShardSyncs.inherit(syncs, number)
      const path = shardPath(folders, number)
      const names = yield* disk.names(path)
      const entries = names.flatMap((entry) => Option.toArray(EntryName.parse(entry)))
      const left = leftAttempts(names, entries)
      yield* Effect.forEach(left, (each) => Effect.ignore(disk.remove(`${path}/${each}`)), { discard: true })
      known.set(number, entries.length)
      for (const entry of entries) {
        tally.add(entry)
        SeenKeys.add(seen, entry.key)
      }
    }
  })

/** What was noted of entries that are gone: a stop may have come between. */
const leftAttempts = (names: ReadonlyArray<string>, entries: ReadonlyArray<EntryName.EntryName>) => {
  const ids = new Set(entries.map(EntryName.idOf))
  return names.filter((name) => {
    const id = EntryName.parseAttempts(name)
    return id !== undefined && !ids.has(id)
  })
}

const spoolOf = (parts: Parts): Spool => {
  const { disk, folders, known, tally } = parts
  return {
    begin: begin(parts),
    commit: (...content) => commit(parts, ...content),
    mayHave: (key) => SeenKeys.mayHave(parts.seen, key),
    versions: (key) => versions(parts, key),
    recent: (key, now) => {
      const entries = RecentShards.entriesOf(parts.recent, EntryName.shardOf(key), now)
      return entries === undefined ? undefined : EntryName.versionsOf(entries, key)
    },
    shard: (number) => shard(parts, number),
    shards: () => [...known.keys()],
    record: (entry) => EntryFiles.record(disk, placeOf(parts, entry)),
    attempts: (entry) => EntryFiles.attempts(disk, placeOf(parts, entry)),
    load: (entry) => EntryFiles.load(disk, placeOf(parts, entry)),
    content: (entry) => EntryFiles.content(disk, placeOf(parts, entry)),
    change: (entry, next, options) => change(parts, entry, next, options),
    remove: (entry, options) => remove(parts, entry, options?.replaced === true),
    sync: (key) => ShardSyncs.sync(parts.syncs, key),
    syncReplaced: (key) => ShardSyncs.syncReplaced(parts.syncs, key),
    mayComeBack: (key) => ShardSyncs.mayComeBack(parts.syncs, key),
    missing: parts.space.missing,
    amounts: () => tally.amounts,
    problem: Folders.problem(disk, folders)
  }
}

const shardPath = (folders: Folders.Folders, shard: number): string =>
  `${folders.root}/${entriesName}/${EntryName.printShard(shard)}`

const folderOf = (parts: Parts, key: string): string => shardPath(parts.folders, EntryName.shardOf(key))

const pathOf = (parts: Parts, entry: EntryName.EntryName): string =>
  `${folderOf(parts, entry.key)}/${EntryName.print(entry)}`

const placeOf = (parts: Parts, entry: EntryName.EntryName): EntryFiles.EntryPlace => {
  const [folder, path] = [folderOf(parts, entry.key), pathOf(parts, entry)]
  const isFolder = entry.isFolder === true
  const attempts = isFolder ? `${path}/attempts` : `${folder}/${EntryName.printAttempts(entry)}`
  return { path, attempts, size: entry.size, isFolder }
}

/** A shard of which it is known that nothing is in it is not looked at: with few entries that is so of most. */
const shard = (parts: Parts, number: number) =>
  (parts.known.get(number) ?? 0) > 0 ? namesIn(parts, number) : Effect.succeed([])

const namesIn = (parts: Parts, number: number) =>
  Effect.zipWith(
    parts.disk.names(shardPath(parts.folders, number)),
    Clock.currentTimeMillis,
    (names, now) => {
      const entries = names.flatMap((name) => Option.toArray(EntryName.parse(name)))
      RecentShards.read(parts.recent, number, entries, now)
      // Somebody else may have put some there.
      for (const { key } of entries) SeenKeys.add(parts.seen, key)
      return entries
    }
  )

/** An entry came to its shard, or went. */
const counted = ({ known, recent, seen, tally }: Parts, entry: EntryName.EntryName, sign: 1 | -1): void => {
  const shard = EntryName.shardOf(entry.key)
  const count = (known.get(shard) ?? 0) + sign
  known.set(shard, count)
  if (sign === 1) {
    tally.add(entry)
    RecentShards.add(recent, entry)
    SeenKeys.add(seen, entry.key)
  } else {
    tally.subtract(entry)
    RecentShards.remove(recent, entry)
    if (count === 0) SeenKeys.clear(seen, shard)
  }
}

const versions = (parts: Parts, key: string): Effect.Effect<ReadonlyArray<EntryName.EntryName>, DiskError> =>
  Effect.suspend(() =>
    SeenKeys.mayHave(parts.seen, key)
      ? Effect.map(shard(parts, EntryName.shardOf(key)), (entries) => EntryName.versionsOf(entries, key))
      : noVersions
  )

const noVersions = Effect.succeed<ReadonlyArray<EntryName.EntryName>>([])

/** What can't be removed is in nobody's way: the next start removes it. */
const discard = ({ disk, folders }: Parts, name: string) =>
  Effect.ignore(disk.remove(`${folders.temporary}/${name}`))

const begin = (parts: Parts): Effect.Effect<Incoming.Incoming, StorageFull | StorageError, Scope.Scope> =>
  Effect.suspend(() => {
    const { disk, folders, settings, space, tally } = parts
    const name = parts.newName()
    const file = Effect.suspend(() => folders.again(disk.create(`${folders.temporary}/${name}`, fileMode)))
    const create = IncomingEntries.begin(parts.begun, name, file)
    const counted = tally.count()
    const room = (size: number) => {
      const looked = space.watch(size, tally.bytes + size > settings.outboxMaxSize)
      if (looked !== undefined) return Effect.map(looked, () => counted.add(size))
      // What fits is counted at once, so that no other content is promised the same room.
      counted.add(size)
      return undefined
    }
    return Incoming.open(name, create, room, {
      mostHeld: EntryFiles.mostHeld,
      opened: (content) => space.incoming.add(content),
      discard: (content) => {
        counted.end()
        space.incoming.remove(content)
        return parts.begun.delete(name) ? discard(parts, name) : undefined
      }
    })
  })

const commit = (parts: Parts, ...[incoming, record, { key, order }]: Parameters<Spool["commit"]>) => {
  const { disk, folders, begun, known, space } = parts
  const size = Option.getOrElse(record.metadata.size, () => 0)
  const entry: EntryName.EntryName = { key, order, size, state: "waiting", time: record.accepted }
  const shard = folderOf(parts, key)
  const places: EntrySteps.EntryPlaces = {
    begun: `${folders.temporary}/${incoming.name}`,
    place: `${shard}/${EntryName.print(entry)}`,
    shard,
    entries: `${folders.root}/${entriesName}`
  }
  const ended = () => {
    begun.delete(incoming.name)
    space.incoming.remove(incoming)
    counted(parts, entry, 1)
    return Effect.succeed(entry)
  }
  // An entry whose place may not be on the disk is not acknowledged, and not kept.
  const failed = (error: DiskError) =>
    takeBack(parts, places, entry).pipe(Effect.andThen(forget(parts, entry)), Effect.andThen(error))
  return AtOnce.flatMap(IncomingEntries.complete(begun, incoming, record, size), (all) =>
    Effect.matchEffect(disk.sequence(EntrySteps.make(places, all, known.has(EntryName.shardOf(key)))), {
      // The folders that it is made in and moved to were removed since they were seen.
      onFailure: (error) =>
        Folders.isMissing(error)
          ? Effect.matchEffect(
              Effect.andThen(folders.prepare, disk.sequence(EntrySteps.makeAnew(places, all))),
              { onFailure: failed, onSuccess: ended }
            )
          : failed(error),
      onSuccess: ended
    })
  )
}

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
    if (Either.isLeft(found)) {
      parts.known.set(EntryName.shardOf(entry.key), Number.POSITIVE_INFINITY)
      SeenKeys.add(parts.seen, entry.key)
    }
  })

const change = (
  parts: Parts,
  ...[entry, next, { attempts, durable }]: Parameters<Spool["change"]>
): Effect.Effect<EntryName.EntryName, DiskError> =>
  Effect.gen(function* () {
    const { disk, recent, tally } = parts
    const after = { ...entry, ...next }
    const now = yield* Clock.currentTimeMillis
    const [from, to] = [placeOf(parts, entry), placeOf(parts, after)]
    const folder = entry.isFolder === true ? from.path : folderOf(parts, entry.key)
    const noted = EntrySteps.note(from.attempts, folder, attempts, durable ? now : undefined)
    const moved: ReadonlyArray<DiskStep> =
      from.path === to.path ? [] : [{ _tag: "Rename", from: from.path, to: to.path }]
    const synced: ReadonlyArray<DiskStep> = durable
      ? [{ _tag: "SyncFolder", path: folderOf(parts, entry.key) }]
      : []
    yield* Effect.tapError(disk.sequence([...noted, ...moved, ...synced]), () =>
      // A part of a note would take room from a disk that has none.
      Effect.andThen(forget(parts, entry), Effect.ignore(disk.remove(EntrySteps.begunNote(from.attempts))))
    )
    tally.subtract(entry)
    tally.add(after)
    RecentShards.remove(recent, entry)
    RecentShards.add(recent, after)
    return after
  }).pipe(Effect.uninterruptible)

/** Behind a failure it is not known what became of an entry. */
const forget = ({ recent }: Parts, { key }: EntryName.EntryName) =>
  Effect.sync(() => RecentShards.forget(recent, EntryName.shardOf(key)))

/** What is due since it was accepted was not tried yet. */
const leaving = (parts: Parts, entry: EntryName.EntryName): Removals.Leaving => {
  const { path, attempts, isFolder } = placeOf(parts, entry)
  const wasTried = entry.state === "refused" || entry.time !== EntryName.acceptedAt(entry)
  return { path, isFolder, attempts: wasTried && !isFolder ? attempts : undefined }
}

const remove = (parts: Parts, entry: EntryName.EntryName, isReplaced: boolean) =>
  Effect.suspend(() => {
    if (isReplaced) ShardSyncs.replacing(parts.syncs, entry.key)
    return Effect.matchEffect(Removals.remove(parts.removals, leaving(parts, entry)), {
      onSuccess: () => Effect.succeed(counted(parts, entry, -1)),
      onFailure: (error) => Effect.andThen(forget(parts, entry), error)
    })
  })
