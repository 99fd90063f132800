/** The runs of the past, and the journals of those that go on. Nothing of a run is held in memory after it. */
import { FileSystem } from "@effect/platform"
import { Clock, Context, Duration, Effect, FiberSet, Layer, Option, Runtime, Schedule, Stream } from "effect"
import { RelayConfig } from "../../config/RelayConfig.ts"
import * as Lease from "../../disk/Lease.ts"
import { storageError } from "../../disk/StorageFailure.ts"
import type { StorageError } from "../../RelayError.ts"
import type { RunStarted } from "../RunEvent.ts"
import { type RunId, startedAt } from "../RunId.ts"
import type { RunHead, RunSummary } from "../RunRecord.ts"
import { Kind } from "./JournalRecord.ts"
import * as JournalRepair from "./JournalRepair.ts"
import { JournalRoom } from "./JournalRoom.ts"
import * as JournalSummary from "./JournalSummary.ts"
import { KeptJournals } from "./KeptJournals.ts"
import * as PastJournal from "./PastJournal.ts"
import * as RunFolders from "./RunFolders.ts"
import { type JournalSource, RunJournal } from "./RunJournal.ts"
import * as RunPruning from "./RunPruning.ts"

export interface RunHistoryService {
  /** Begins a journal with the run's head and first event. Never fails: what can't be written there goes elsewhere. */
  readonly begin: (id: RunId, head: RunHead, started: RunStarted) => Effect.Effect<RunJournal>
  /** Ends a journal: writes what is left, and makes it one of the past. */
  readonly finish: (id: RunId, journal: RunJournal) => Effect.Effect<void>
  /** A run of the past. */
  readonly find: (id: RunId) => Effect.Effect<Option.Option<JournalSource>, StorageError>
  readonly summary: (id: RunId, source: JournalSource) => Effect.Effect<RunSummary, StorageError>
  /** Ids of runs, those that go on included, newest first, from before `before` on. */
  readonly ids: (before: Option.Option<RunId>) => Stream.Stream<RunId, StorageError>
  /** Removes what is past its retention or over the size, oldest first. */
  readonly prune: Effect.Effect<void>
}

export class RunHistory extends Context.Tag("rudder-relay/RunHistory")<RunHistory, RunHistoryService>() {
  /** `FolderUnusable`: its folder can't be made, written, or had for this relay alone. */
  static readonly layer = Layer.scoped(
    RunHistory,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const { general, remoteRun } = yield* RelayConfig
  const folders = yield* RunFolders.make(remoteRun.directory)
  // Without remote runs nothing is written or read there: the folder may be another's, or missing. Taken first, it is
  // given back last.
  if (remoteRun.enabled) yield* Lease.hold(folders, general.shutdownGrace)
  const room = new JournalRoom(remoteRun.maxSize)
  const active = new Map<RunId, RunJournal>()
  const kept = new KeptJournals()
  const writes = yield* FiberSet.make<void>()
  const runFork = Runtime.runFork(yield* Effect.runtime<never>())
  const fork = (effect: Effect.Effect<void>) => FiberSet.unsafeAdd(writes, runFork(effect))
  const repairing = yield* Effect.makeSemaphore(1)
  const { openPath, finalPath } = folders
  const inUse = () => new Set([...active.keys(), ...kept.ids()])
  const pruning = yield* RunPruning.make({
    folders,
    retention: remoteRun.retention,
    maxSize: remoteRun.maxSize,
    held: () => room.held,
    inUse
  })

  const begin = (id: RunId, head: RunHead, started: RunStarted) =>
    Effect.gen(function* () {
      const journal = new RunJournal({ fs, room, fork, path: openPath(id), finalPath: finalPath(id) })
      active.set(id, journal)
      journal.event(Kind.head, "", head, 0)
      journal.event(Kind.run, "", started, 0)
      yield* journal.flushed
      return journal
    })

  const finish = (id: RunId, journal: RunJournal) =>
    Effect.gen(function* () {
      const settled = yield* journal.close
      if (settled) pruning.add(journal.length())
      else if (journal.isWhole) kept.add(id, journal)
      else yield* journal.discard
      active.delete(id)
      if (!settled || pruning.isTooMuch()) yield* prune
    })

  const prune = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const isExpired = (id: RunId) => now - startedAt(id) > Duration.toMillis(remoteRun.retention)
    yield* pruning.prune
    yield* kept.prune(isExpired, () => kept.size > remoteRun.maxSize)
  })

  const repair = (id: RunId) =>
    Effect.gen(function* () {
      // Somebody else may have done it while this waited.
      const isLeft = !inUse().has(id) && (yield* Effect.orElseSucceed(fs.exists(openPath(id)), () => false))
      if (isLeft) yield* JournalRepair.repair(openPath(id), finalPath(id))
    }).pipe(Effect.provideService(FileSystem.FileSystem, fs), repairing.withPermits(1))

  const find = (id: RunId): Effect.Effect<Option.Option<JournalSource>, StorageError> =>
    Effect.gen(function* () {
      const journal = active.get(id) ?? kept.get(id)
      if (journal !== undefined) return Option.some(journal)
      if (yield* Effect.mapError(fs.exists(openPath(id)), storageError)) yield* repair(id)
      const info = yield* Effect.option(fs.stat(finalPath(id)))
      return Option.map(info, ({ size }) => PastJournal.make(finalPath(id), Number(size)))
    })

  const summary = (id: RunId, source: JournalSource) =>
    JournalSummary.read(source).pipe(
      Effect.provideService(FileSystem.FileSystem, fs),
      Effect.annotateLogs({ run: id })
    )

  const logFolder = ({ message }: StorageError) =>
    Effect.logWarning("the folder of runs can't be read").pipe(
      Effect.annotateLogs({ folder: remoteRun.directory, problem: message })
    )

  /** What is not on the disk can be listed all the same; where there is nothing, the disk's error is the answer. */
  const times = Effect.catchAll(folders.folders, (error) =>
    inUse().size === 0 ? Effect.fail(error) : Effect.as(logFolder(error), [] as ReadonlyArray<string>)
  )

  /** Of the times' folders, and of the runs that are in none because it can't be written. */
  const timesBefore = (before: Option.Option<RunId>) =>
    Effect.map(times, (found) =>
      [...new Set([...found, ...Array.from(inUse(), RunFolders.folderOf)])]
        .filter((time) =>
          Option.match(before, { onNone: () => true, onSome: (id) => time <= RunFolders.folderOf(id) })
        )
        .sort()
        .reverse()
    )

  const idsOf = (time: string) =>
    Effect.map(folders.files(time), (files) => {
      const here = Array.from(inUse()).filter((id) => RunFolders.folderOf(id) === time)
      const stored = files.flatMap(({ id }) => (id === undefined ? [] : [id]))
      return [...new Set([...stored, ...here])].sort().reverse()
    })

  const ids = (before: Option.Option<RunId>): Stream.Stream<RunId, StorageError> =>
    Stream.fromIterableEffect(timesBefore(before)).pipe(
      Stream.mapConcatEffect(idsOf),
      Stream.filter((id) => Option.match(before, { onNone: () => true, onSome: (limit) => id < limit }))
    )

  const repairAll = Effect.gen(function* () {
    // What can't be repaired is in the log, and the others are repaired all the same.
    for (const folder of yield* folders.folders)
      for (const { path, id } of yield* folders.files(folder))
        if (id !== undefined && path === openPath(id)) yield* Effect.ignore(repair(id))
  }).pipe(Effect.catchAll(logFolder))

  if (remoteRun.enabled)
    yield* Effect.forkScoped(
      Effect.andThen(repairAll, Effect.repeat(prune, Schedule.spaced(Duration.minutes(1))))
    )
  return RunHistory.of({ begin, finish, find, summary, ids, prune })
})
