/** The history of runs in a folder: a file for each run, and for each time a folder of them. */
import { dirname } from "node:path"
import { FileSystem } from "@effect/platform"
import { Clock, Duration, Effect, FiberSet, Layer, Option, Schedule } from "effect"
import { RelayConfig } from "../../config/RelayConfig.ts"
import type { Settings } from "../../config/Settings.ts"
import { Disk, type DiskService } from "../../disk/Disk.ts"
import * as Lease from "../../disk/Lease.ts"
import { storageError } from "../../disk/StorageFailure.ts"
import * as Permits from "../../Permits.ts"
import type { StorageError } from "../../RelayError.ts"
import type { RunStarted } from "../RunEvent.ts"
import { type RunId, startedAt } from "../RunId.ts"
import type { RunHead, RunSummary } from "../RunRecord.ts"
import * as FolderKeys from "./FolderKeys.ts"
import * as JournalEvents from "./JournalEvents.ts"
import { Kind } from "./JournalRecord.ts"
import * as JournalRepair from "./JournalRepair.ts"
import { JournalRoom } from "./JournalRoom.ts"
import type { JournalSource } from "./JournalSource.ts"
import * as JournalSummary from "./JournalSummary.ts"
import { KeptJournals } from "./KeptJournals.ts"
import * as PastJournal from "./PastJournal.ts"
import * as RunFolders from "./RunFolders.ts"
import { RunHistory, type RunHistoryService } from "./RunHistory.ts"
import * as RunIndex from "./RunIndex.ts"
import { RunJournal } from "./RunJournal.ts"
import * as RunListing from "./RunListing.ts"
import * as RunPruning from "./RunPruning.ts"

interface Parts {
  readonly fs: FileSystem.FileSystem
  readonly disk: DiskService
  readonly settings: Pick<Settings["remoteRun"], "retention" | "maxSize">
  readonly folders: RunFolders.RunFolders
  readonly room: JournalRoom
  /** Runs a write, which ends with the Layer at the latest. */
  readonly fork: (effect: Effect.Effect<void>) => void
  /** The journals of runs that go on. */
  readonly active: Map<RunId, RunJournal>
  readonly kept: KeptJournals
  /** Runs whose files must be left alone. */
  readonly inUse: () => ReadonlySet<RunId>
  readonly pruning: RunPruning.RunPruning
  readonly index: RunIndex.RunIndex
  readonly keys: FolderKeys.FolderKeys
  /** Held while a journal is repaired. */
  readonly repairing: Permits.Permits
}

/** What `layer` has. */
export const make = Effect.gen(function* () {
  const { general, remoteRun } = yield* RelayConfig
  const folders = yield* RunFolders.make(remoteRun.directory)
  // Without remote runs nothing is written or read there: the folder may be another's, or missing. Taken first, it is
  // given back last.
  if (remoteRun.enabled) yield* Lease.hold(folders, general.shutdownGrace)
  const parts = yield* makeParts(folders, remoteRun)
  if (remoteRun.enabled)
    yield* Effect.forkScoped(
      Effect.andThen(
        repairAll(parts),
        Effect.all([Effect.repeat(prune(parts), Schedule.spaced(Duration.minutes(1))), indexAll(parts)], {
          concurrency: "unbounded"
        })
      )
    )
  return {
    begin: (id, head, started) => begin(parts, id, head, started),
    persist: (id) => persist(parts, id),
    finish: (id, summary) => finish(parts, id, summary),
    find: (id) => find(parts, id),
    summary: (id, source) => summaryOf(parts, id, source),
    keys: parts.keys,
    list: (selection) => RunListing.list(listed(parts), selection),
    // Without remote runs nothing goes there.
    problem: remoteRun.enabled ? folders.problem : Effect.succeedNone,
    prune: prune(parts)
  } satisfies RunHistoryService
})

/** `FolderUnusable`: the folder can't be made, written, or had for this relay alone. */
export const layer = Layer.scoped(RunHistory, make)

const makeParts = (folders: RunFolders.RunFolders, settings: Parts["settings"]) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const disk = yield* Disk
    const fork = yield* FiberSet.makeRuntime<never, void>()
    const room = new JournalRoom(settings.maxSize)
    const active = new Map<RunId, RunJournal>()
    const kept = new KeptJournals()
    const inUse = () => new Set([...active.keys(), ...kept.ids()])
    const pruning = yield* RunPruning.make({ ...settings, folders, inUse, held: () => room.held })
    const parts: Parts = {
      fs,
      disk,
      settings,
      folders,
      room,
      fork,
      active,
      kept,
      inUse,
      pruning,
      keys: yield* FolderKeys.make(disk, folders.keysPath),
      index: RunIndex.make({ fs, folders, fork, wrote: pruning.add }),
      repairing: Permits.make(1)
    }
    return parts
  })

const begin = (parts: Parts, id: RunId, head: RunHead, started: RunStarted) =>
  Effect.gen(function* () {
    const { fs, room, fork, folders, active, index } = parts
    const path = folders.openPath(id)
    const journal = new RunJournal({ fs, room, fork, path, finalPath: folders.finalPath(id) })
    active.set(id, journal)
    journal.event(Kind.head, "", head, 0)
    journal.event(Kind.run, "", started, 0)
    yield* journal.flushed
    index.begun(id, head.by?.actor ?? "", started.nodes)
    return journal
  })

const persist = ({ fs, disk, active, folders }: Parts, id: RunId) =>
  Effect.gen(function* () {
    const journal = active.get(id)
    if (journal === undefined) return
    yield* journal.flushed
    const path = folders.openPath(id)
    yield* Effect.scoped(Effect.flatMap(fs.open(path, { flag: "r+" }), (file) => file.sync))
    yield* disk.syncFolder(dirname(path))
    yield* disk.syncFolder(folders.root)
  }).pipe(
    Effect.catchAll(({ message }) =>
      Effect.logWarning("a loss of power may take the beginning of a run with it").pipe(
        Effect.annotateLogs({ file: folders.openPath(id), problem: message })
      )
    )
  )

const finish = (parts: Parts, id: RunId, summary: RunSummary) =>
  Effect.gen(function* () {
    const { active, kept, pruning, index } = parts
    const journal = active.get(id)
    if (journal === undefined) return
    const isInPlace = yield* journal.close
    if (isInPlace) {
      pruning.add(journal.length())
      index.ended(id, JSON.stringify(summary))
    } else if (journal.isWhole) kept.add(id, journal)
    else yield* journal.discard
    active.delete(id)
    if (!isInPlace || pruning.isTooMuch()) yield* prune(parts)
  })

const prune = ({ keys, pruning, kept, settings }: Parts) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const isExpired = (id: RunId) => now - startedAt(id) > Duration.toMillis(settings.retention)
    yield* keys.prune
    yield* pruning.prune
    yield* kept.prune(isExpired, () => kept.size > settings.maxSize)
  })

const repair = (parts: Parts, id: RunId) =>
  Effect.gen(function* () {
    const { fs, folders, inUse } = parts
    const path = folders.openPath(id)
    // Another caller may have repaired it while this one waited.
    const isLeft = !inUse().has(id) && (yield* Effect.orElseSucceed(fs.exists(path), () => false))
    if (!isLeft) return
    yield* Effect.provideService(JournalRepair.repair(path, folders.finalPath(id)), FileSystem.FileSystem, fs)
    // The index of what a crash cut off may have been cut off too.
    yield* Effect.ignore(indexPast(parts, id))
  }).pipe(parts.repairing)

const find = (parts: Parts, id: RunId): Effect.Effect<Option.Option<JournalSource>, StorageError> =>
  Effect.gen(function* () {
    const { fs, folders, active, kept } = parts
    const journal = active.get(id) ?? kept.get(id)
    if (journal !== undefined) return Option.some(journal)
    if (yield* Effect.mapError(fs.exists(folders.openPath(id)), storageError)) yield* repair(parts, id)
    return yield* past(parts, id)
  })

/** A journal that is in its final place. */
const past = ({ fs, folders }: Parts, id: RunId) =>
  Effect.gen(function* () {
    const path = folders.finalPath(id)
    const info = yield* fs.stat(path).pipe(
      Effect.asSome,
      Effect.catchIf(RunFolders.isMissing, () => Effect.succeedNone),
      Effect.mapError(storageError)
    )
    return Option.map(info, ({ size }): JournalSource => PastJournal.make(path, Number(size), id))
  })

const summaryOf = ({ fs }: Parts, id: RunId, source: JournalSource) =>
  JournalSummary.read(source).pipe(
    Effect.provideService(FileSystem.FileSystem, fs),
    Effect.annotateLogs({ run: id })
  )

const listed = (parts: Parts): RunListing.Listed => ({
  folders: parts.folders,
  index: parts.index,
  inUse: parts.inUse,
  isGoingOn: (id) => parts.active.has(id),
  matches: (id, search) => matches(parts, id, search)
})

/** Its nodes and who asked, by the journal; where that does not say, it is nobody's. */
const beginningOf = ({ fs }: Parts, source: JournalSource) =>
  JournalEvents.beginning(source).pipe(Effect.provideService(FileSystem.FileSystem, fs))

const matches = (parts: Parts, id: RunId, { node, actor }: RunIndex.RunSearch) =>
  Effect.gen(function* () {
    const source = yield* find(parts, id)
    if (Option.isNone(source)) return false
    const { nodes, by } = yield* beginningOf(parts, source.value)
    return (
      Option.match(node, { onNone: () => true, onSome: (one) => nodes.includes(one) }) &&
      Option.match(actor, { onNone: () => true, onSome: (name) => by?.actor === name })
    )
  })

/** Adds to the index what a run that is over says of itself; nothing where that can't be read. */
const indexPast = (parts: Parts, id: RunId) =>
  Effect.gen(function* () {
    const source = yield* past(parts, id)
    if (Option.isNone(source)) return
    const summary = yield* summaryOf(parts, id, source.value)
    const { nodes, by } = yield* beginningOf(parts, source.value)
    parts.index.begun(id, by?.actor ?? "", nodes)
    parts.index.ended(id, JSON.stringify(summary))
  })

/** Adds what the indexes lack: runs that an earlier version kept, and what a crash took. */
const indexAll = (parts: Parts) =>
  Effect.gen(function* () {
    const { folders, inUse, index } = parts
    for (const folder of yield* folders.folders) {
      const indexed = yield* index.read(folder, RunIndex.everyRun)
      for (const { path, id } of yield* folders.files(folder)) {
        if (id === undefined || inUse().has(id) || path !== folders.finalPath(id)) continue
        const run = indexed.get(id)
        if (run?.isComplete !== true || !run.isSummarized)
          yield* Effect.catchAll(indexPast(parts, id), (error) => RunListing.logUnreadableRun(id, error))
      }
    }
  }).pipe(Effect.catchAll((error) => RunListing.logUnreadableFolder(parts.folders, error)))

/** Closes what an earlier process left open. What can't be repaired is in the log, and does not stop the others. */
const repairAll = (parts: Parts) =>
  Effect.gen(function* () {
    const { folders } = parts
    for (const folder of yield* folders.folders)
      for (const { path, id } of yield* folders.files(folder))
        if (id !== undefined && path === folders.openPath(id)) yield* Effect.ignore(repair(parts, id))
  }).pipe(Effect.catchAll((error) => RunListing.logUnreadableFolder(parts.folders, error)))
