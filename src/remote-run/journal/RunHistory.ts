/**
 * The runs of the past, and the journals of those that go on: `<directory>/<time>/<id>.open` while a run goes on,
 * `.run` when it is over. Nothing of a run is held in memory after it.
 */
import { FileSystem, Path } from "@effect/platform"
import {
  Clock,
  Context,
  Duration,
  Effect,
  FiberSet,
  Layer,
  Option,
  Runtime,
  Schedule,
  Schema,
  Stream
} from "effect"
import { RelayConfig } from "../../config/RelayConfig.ts"
import * as Lease from "../../disk/Lease.ts"
import { storageError } from "../../disk/StorageFailure.ts"
import type { StorageError } from "../../RelayError.ts"
import { RunDone, type RunStarted } from "../RunEvent.ts"
import { RunId, startedAt } from "../RunId.ts"
import { RunHead, type RunSummary } from "../RunRecord.ts"
import { Kind } from "./JournalRecord.ts"
import * as JournalRepair from "./JournalRepair.ts"
import { JournalRoom } from "./JournalRoom.ts"
import { type JournalSource, RunJournal } from "./RunJournal.ts"
import * as RunReader from "./RunReader.ts"

export interface RunHistoryService {
  /** Begins a journal with the run's head and first event. Never fails: what can't be written stays in memory. */
  readonly begin: (id: RunId, head: RunHead, started: RunStarted) => Effect.Effect<RunJournal>
  /** Ends a journal: writes what is left, and makes it one of the past. */
  readonly finish: (id: RunId, journal: RunJournal) => Effect.Effect<void>
  /** A run of the past. */
  readonly find: (id: RunId) => Effect.Effect<Option.Option<JournalSource>, StorageError>
  readonly summary: (id: RunId, source: JournalSource) => Effect.Effect<RunSummary, StorageError>
  /** Ids of runs on the disk, those that go on included, newest first, from before `before` on. */
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

const decodeHead = Schema.decodeUnknown(Schema.parseJson(RunHead))
const decodeDone = Schema.decodeUnknown(Schema.parseJson(RunDone))
const isRunId = Schema.is(RunId)

const folderMode = 0o700

/** A run's folder: the first 24 bits of its time, 4.7 hours, so that no folder grows without bound. */
const folderOf = (id: RunId): string => id.slice(0, 6)

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { general, remoteRun } = yield* RelayConfig
  const root = path.resolve(remoteRun.directory)
  /** A folder, and those above it that are missing. */
  const makeFolder = (folder: string) =>
    Effect.gen(function* () {
      if (yield* fs.exists(folder)) return
      yield* fs.makeDirectory(folder, { recursive: true, mode: folderMode })
      // The umask may have taken from it.
      yield* fs.chmod(folder, folderMode)
    })
  const prepare = Effect.andThen(makeFolder(root), fs.access(root, { readable: true, writable: true }))
  // Without remote runs nothing is written or read there: the folder may be another's, or missing. Taken first, it is
  // given back last.
  if (remoteRun.enabled) yield* Lease.hold({ root, prepare }, general.shutdownGrace)
  const room = new JournalRoom(remoteRun.maxSize)
  const active = new Map<RunId, RunJournal>()
  const runtime = yield* Effect.runtime<never>()
  const writes = yield* FiberSet.make<void>()
  const runFork = Runtime.runFork(runtime)
  const fork = (effect: Effect.Effect<void>) => FiberSet.unsafeAdd(writes, runFork(effect))
  const repairing = yield* Effect.makeSemaphore(1)
  const pruning = yield* Effect.makeSemaphore(1)
  /** Bytes of the runs of the past; none until they were counted. */
  let total: Option.Option<number> = Option.none()

  const openPath = (id: RunId) => path.join(root, folderOf(id), `${id}.open`)
  const finalPath = (id: RunId) => path.join(root, folderOf(id), `${id}.run`)
  const size = (file: string) =>
    fs.stat(file).pipe(
      Effect.map((info) => Number(info.size)),
      Effect.orElseSucceed(() => 0)
    )
  const names = (folder: string) => fs.readDirectory(folder).pipe(Effect.orElseSucceed(() => [] as string[]))
  const folders = Effect.map(names(root), (found) =>
    found.filter((name) => /^[0-9a-f]{6}$/.test(name)).sort()
  )

  const begin = (id: RunId, head: RunHead, started: RunStarted) =>
    Effect.gen(function* () {
      // A failure shows, and is logged, when the journal writes.
      yield* Effect.ignore(makeFolder(path.dirname(openPath(id))))
      const journal = new RunJournal({ fs, room, fork, path: openPath(id), finalPath: finalPath(id) })
      active.set(id, journal)
      journal.event(Kind.head, "", head, 0)
      journal.event(Kind.run, "", started, 0)
      yield* journal.flushed
      return journal
    })

  const finish = (id: RunId, journal: RunJournal) =>
    Effect.gen(function* () {
      yield* journal.close
      active.delete(id)
      if (Option.isSome(total)) total = Option.some(total.value + (yield* size(finalPath(id))))
      if (Option.isSome(total) && total.value > remoteRun.maxSize) yield* prune
    })

  const repair = (id: RunId) =>
    Effect.gen(function* () {
      // Somebody else may have done it while this waited.
      const cutOff = !active.has(id) && (yield* Effect.orElseSucceed(fs.exists(openPath(id)), () => false))
      if (cutOff) yield* JournalRepair.repair(openPath(id), finalPath(id))
    }).pipe(Effect.provideService(FileSystem.FileSystem, fs), repairing.withPermits(1))

  const find = (id: RunId): Effect.Effect<Option.Option<JournalSource>, StorageError> =>
    Effect.gen(function* () {
      const running = active.get(id)
      if (running !== undefined) return Option.some(running)
      if (yield* Effect.mapError(fs.exists(openPath(id)), storageError)) yield* repair(id)
      const info = yield* Effect.option(fs.stat(finalPath(id)))
      return Option.map(info, ({ size }) => pastJournal(finalPath(id), Number(size)))
    })

  const summary = (id: RunId, source: JournalSource) =>
    Effect.gen(function* () {
      const first = yield* Stream.runHead(RunReader.events(source))
      const head = yield* Effect.flatMap(first, (event) => decodeHead(event.json)).pipe(
        Effect.mapError(storageError)
      )
      const done = yield* lastEvent(source).pipe(Effect.flatMap(decodeDone), Effect.option)
      return {
        ...head,
        running: 0,
        ok: Option.match(done, { onNone: () => 0, onSome: ({ ok }) => ok }),
        failed: Option.match(done, { onNone: () => 0, onSome: ({ failed }) => failed }),
        ...(Option.exists(done, ({ interrupted }) => interrupted === true)
          ? { interrupted: true as const }
          : {})
      }
    }).pipe(Effect.provideService(FileSystem.FileSystem, fs), Effect.annotateLogs({ run: id }))

  /** The last record of a journal of the past is `done`, and small. */
  const lastEvent = (source: JournalSource) =>
    Effect.gen(function* () {
      const [, last = ""] = ["", ...source.paths().slice(-1)]
      const file = yield* fs.open(last, { flag: "r" })
      const length = Math.min(source.length(), 512)
      yield* file.seek(source.length() - length, "start")
      const tail = Buffer.alloc(length)
      yield* file.read(tail)
      return tail.toString("utf8", tail.lastIndexOf('{"event":"done"'))
    }).pipe(Effect.scoped, Effect.mapError(storageError))

  const idsOf = (folder: string) =>
    Effect.map(names(path.join(root, folder)), (found) =>
      found
        .map((name) => name.replace(/\.(run|open)$/, ""))
        .filter(isRunId)
        .sort()
    )

  const ids = (before: Option.Option<RunId>): Stream.Stream<RunId, StorageError> =>
    Stream.fromIterableEffect(Effect.map(folders, (found) => found.reverse())).pipe(
      Stream.filter((folder) =>
        Option.match(before, { onNone: () => true, onSome: (id) => folder <= folderOf(id) })
      ),
      Stream.mapConcatEffect((folder) => Effect.map(idsOf(folder), (found) => found.reverse())),
      Stream.filter((id) => Option.match(before, { onNone: () => true, onSome: (limit) => id < limit })),
      Stream.changes
    )

  const count = Effect.gen(function* () {
    let bytes = 0
    for (const folder of yield* folders)
      for (const name of yield* names(path.join(root, folder)))
        if (name.endsWith(".run")) bytes += yield* size(path.join(root, folder, name))
    total = Option.some(bytes)
  })

  const prune: Effect.Effect<void> = Effect.gen(function* () {
    if (Option.isNone(total)) yield* count
    const now = yield* Clock.currentTimeMillis
    const expired = (id: RunId) => now - startedAt(id) > Duration.toMillis(remoteRun.retention)
    const tooMuch = () => Option.exists(total, (bytes) => bytes + room.held > remoteRun.maxSize)
    for (const folder of yield* folders) {
      for (const id of yield* idsOf(folder)) {
        if (!expired(id) && !tooMuch()) return
        if (active.has(id)) continue
        const bytes = yield* size(finalPath(id))
        yield* Effect.ignore(fs.remove(finalPath(id)))
        total = Option.map(total, (sum) => sum - bytes)
      }
      // Only an empty folder can be removed like this.
      yield* Effect.ignore(fs.remove(path.join(root, folder)))
    }
  }).pipe(Effect.uninterruptible, pruning.withPermits(1), Effect.withSpan("RunHistory.prune"))

  const repairAll = Effect.gen(function* () {
    for (const folder of yield* folders)
      for (const name of yield* names(path.join(root, folder))) {
        const id = name.replace(/\.open$/, "")
        if (name.endsWith(".open") && isRunId(id)) yield* Effect.ignoreLogged(repair(id))
      }
  })

  if (remoteRun.enabled)
    yield* Effect.forkScoped(
      Effect.andThen(repairAll, Effect.repeat(prune, Schedule.spaced(Duration.minutes(1))))
    )
  return RunHistory.of({ begin, finish, find, summary, ids, prune })
})

const pastJournal = (path: string, size: number): JournalSource => ({
  paths: () => [path],
  length: () => size,
  unwritten: () => undefined,
  ended: () => true,
  grownBeyond: () => Effect.void
})
