/** Remote runs: the agents of this relay's own nodes, and of those behind its sub-relays, as one run with one history. */
import { FileSystem } from "@effect/platform"
import { Chunk, Clock, Context, Deferred, Effect, Layer, Option, Scope, Stream } from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import { type NodeId, root } from "../NodeId.ts"
import { type StorageError, TooBusy, UnknownTarget } from "../RelayError.ts"
import { NodesList, type NodesListService } from "../topology/NodesList.ts"
import * as AgentPermits from "./agents/AgentPermits.ts"
import { AgentProcess } from "./agents/AgentProcess.ts"
import type { ClassName } from "./ClassName.ts"
import { MarkedRuns } from "./journal/EventMarks.ts"
import * as JournalEvents from "./journal/JournalEvents.ts"
import { Kind } from "./journal/JournalRecord.ts"
import type { JournalSource } from "./journal/JournalSource.ts"
import { RunHistory, type RunHistoryService } from "./journal/RunHistory.ts"
import * as RunReader from "./journal/RunReader.ts"
import { RunNotFound } from "./RemoteRunError.ts"
import { type RunDone, type RunEvent, type RunStarted, seconds, type UnreadableEvent } from "./RunEvent.ts"
import * as RunExecution from "./RunExecution.ts"
import { generator, type RunId, startedAt } from "./RunId.ts"
import * as RunPlan from "./RunPlan.ts"
import { RunProgress } from "./RunProgress.ts"
import type { OutputChoice, RunHead, RunPage, RunSummary } from "./RunRecord.ts"
import { SubRelays } from "./sub-relays/SubRelays.ts"

/** What a caller orders. */
export interface RunOrder {
  readonly target: RunPlan.RunTarget
  readonly classes: ReadonlyArray<ClassName>
  readonly output: OutputChoice
}

/** How a caller wants to see a run. */
export type RunView = Omit<RunReader.ReadOptions, "single" | "marks">

/** A run, going on or past. */
export interface Run {
  readonly id: RunId
  readonly summary: Effect.Effect<RunSummary, StorageError>
  /** Where its journal ends, once it is over: a client that has the event of this offset has all. */
  readonly doneAt: Effect.Effect<Option.Option<number>>
  /** Its events up to now, without output, in the order in which they happened. */
  readonly events: Stream.Stream<RunEvent | UnreadableEvent, StorageError>
  /** What a caller sees of it; it follows a run that goes on, at the caller's pace. */
  readonly read: (options: RunView) => Stream.Stream<Uint8Array, StorageError>
}

/** A run that has just been started. It belongs to the relay: who leaves does not stop it. */
export interface StartedRun extends Run {
  readonly started: RunStarted
}

/** The registry of runs. */
export interface RemoteRunService {
  /**
   * Starts a run and returns at once. `UnknownTarget`: the one node is not known. `TooBusy`: the relay is stopping, or
   * (root) has no nodes list yet.
   */
  readonly start: (order: RunOrder) => Effect.Effect<StartedRun, UnknownTarget | TooBusy>
  readonly find: (id: RunId) => Effect.Effect<Run, RunNotFound | StorageError>
  /** Newest first. */
  readonly list: (limit: number, before: Option.Option<RunId>) => Effect.Effect<RunPage, StorageError>
  /** Ends the agents of a run; true when it was going on. Returns before they are gone. */
  readonly cancel: (id: RunId) => Effect.Effect<boolean>
  /** What goes on now. */
  readonly activity: Effect.Effect<{
    readonly runs: number
    readonly agents: number
    readonly unkillable: number
  }>
  /** Starts no more agents, ends those that wait, and returns when the running ones have ended. */
  readonly drain: Effect.Effect<void>
  /** Starts no more runs, cancels those that go on, and returns when their agents are gone. */
  readonly cancelAll: Effect.Effect<void>
}

export class RemoteRun extends Context.Tag("rudder-relay/RemoteRun")<RemoteRun, RemoteRunService>() {
  /** Holds the runs that go on. At its end every run is cancelled, and its agents are gone. */
  static readonly layer = Layer.scoped(
    RemoteRun,
    Effect.suspend(() => make)
  )
}

/** A run that goes on. */
interface ActiveRun {
  readonly id: RunId
  readonly started: RunStarted
  readonly progress: RunProgress
  readonly execution: RunExecution.RunExecution
  readonly over: Deferred.Deferred<void>
}

interface Parts {
  readonly nodeId: NodeId
  /** Bytes that are kept of what a node prints. */
  readonly outputLimit: number
  readonly nodesList: NodesListService
  readonly history: RunHistoryService
  readonly fs: FileSystem.FileSystem
  readonly execution: RunExecution.RunExecutionParts
  readonly nextId: (now: number) => RunId
  readonly active: Map<RunId, ActiveRun>
  readonly marked: MarkedRuns
  /** Runs outlive the requests that start them: they belong to this scope. */
  readonly runs: Scope.CloseableScope
  /** The relay is stopping. */
  stopping: boolean
}

const make = Effect.gen(function* () {
  const { general, remoteRun } = yield* RelayConfig
  const agents = yield* AgentProcess
  const permits = AgentPermits.make(remoteRun.maxConcurrent)
  const parts: Parts = {
    nodeId: general.nodeId,
    outputLimit: remoteRun.outputLimit,
    nodesList: yield* NodesList,
    history: yield* RunHistory,
    fs: yield* FileSystem.FileSystem,
    execution: { agents, subRelays: yield* SubRelays, permits, timeout: remoteRun.timeout },
    nextId: generator(),
    active: new Map(),
    marked: new MarkedRuns(),
    runs: yield* Scope.make(),
    stopping: false
  }
  const cancelAll = stop(parts, ({ execution }) => execution.cancel)
  yield* Effect.addFinalizer((exit) => Effect.andThen(cancelAll, Scope.close(parts.runs, exit)))
  return RemoteRun.of({
    start: (order) => start(parts, order),
    find: (id) => find(parts, id),
    list: (limit, before) => list(parts, limit, before),
    cancel: (id) => cancel(parts, id),
    activity: Effect.gen(function* () {
      const { active } = parts
      return { runs: active.size, agents: yield* permits.inUse, unkillable: yield* agents.unkillable }
    }),
    drain: stop(parts, ({ execution }) => execution.stopStarting),
    cancelAll
  })
})

const start = Effect.fn("RemoteRun.start")(function* (parts: Parts, order: RunOrder) {
  if (parts.stopping) return yield* new TooBusy({ message: "the relay is stopping", retryAfterSeconds: 10 })
  const plan = yield* RunPlan.make(yield* parts.nodesList.current, order.target)
  if (order.target._tag === "One" && plan.unknown.length > 0)
    return yield* refuseUnknown(parts, order.target.id)
  const run = yield* begin(parts, order, plan)
  parts.active.set(run.id, run)
  yield* Effect.forkIn(execute(parts, run), parts.runs)
  return { ...activeRun(parts, run), started: run.started }
}, Effect.uninterruptible)

/** Root without a list can't know: it says "later" where it would say "unknown". */
const refuseUnknown = ({ nodeId, nodesList }: Parts, target: NodeId) =>
  Effect.gen(function* () {
    if (nodeId === root && (yield* nodesList.neverLoaded))
      return yield* new TooBusy({ message: "the nodes list was not loaded yet", retryAfterSeconds: 10 })
    return yield* new UnknownTarget({ message: `no node ${target} below this relay`, target })
  })

const begin = (
  { nextId, history, execution, outputLimit }: Parts,
  { classes, output }: RunOrder,
  plan: RunPlan.RunPlan
) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const id = nextId(now)
    const { known, unknown } = plan
    const head: RunHead = { id, started: new Date(now).toISOString(), output, classes, nodes: known.length }
    const started: RunStarted = { event: "run", id, nodes: known, unknown, classes }
    const progress = new RunProgress(head, yield* history.begin(id, head, started), outputLimit)
    const run: ActiveRun = {
      id,
      started,
      progress,
      execution: yield* RunExecution.make(execution, plan, progress),
      over: yield* Deferred.make<void>()
    }
    return run
  })

/** From the first agent to the record of the run's end. */
const execute = Effect.fn("RemoteRun.execute")(
  function* ({ history, active }: Parts, { id, progress, execution, over }: ActiveRun) {
    yield* Effect.logInfo("run started").pipe(Effect.annotateLogs({ nodes: progress.head.nodes }))
    yield* execution.run
    const { result } = progress
    const duration = seconds((yield* Clock.currentTimeMillis) - startedAt(id))
    const done: RunDone = { event: "done", ...result, duration }
    progress.journal.event(Kind.done, "", done, 0)
    yield* history.finish(id)
    active.delete(id)
    yield* Deferred.succeed(over, undefined)
    yield* Effect.logInfo("run ended").pipe(Effect.annotateLogs(result))
  },
  (effect, _, { id }) => effect.pipe(Effect.uninterruptible, Effect.annotateLogs({ run: id }))
)

const readerOf = ({ fs, marked }: Parts, id: RunId, source: JournalSource, single: boolean) => ({
  doneAt: Effect.sync(() => (source.ended() ? Option.some(source.length()) : Option.none())),
  events: JournalEvents.events(source).pipe(Stream.provideService(FileSystem.FileSystem, fs)),
  read: (view: RunView) => {
    const marks = view.from === undefined || view.from === 0 ? undefined : marked.of(id)
    return RunReader.stream(source, { ...view, order: orderOf(view, single), single, marks }).pipe(
      Stream.provideService(FileSystem.FileSystem, fs)
    )
  }
})

/** The block of a run's only node need not wait for its end, unless that decides whether it is shown. */
const orderOf = ({ order, ended }: RunView, single: boolean): RunView["order"] =>
  ended !== undefined ? "blocks" : single ? "live" : order

const activeRun = (parts: Parts, { id, progress }: ActiveRun): Run => ({
  id,
  summary: Effect.sync(() => progress.summary),
  ...readerOf(parts, id, progress.journal, progress.head.nodes === 1)
})

const find = (parts: Parts, id: RunId): Effect.Effect<Run, RunNotFound | StorageError> =>
  Effect.gen(function* () {
    const { active, history } = parts
    const run = active.get(id)
    if (run !== undefined) return activeRun(parts, run)
    const source = yield* history.find(id)
    if (Option.isNone(source)) return yield* new RunNotFound({ message: `no run ${id}`, run: id })
    const summary = yield* history.summary(id, source.value)
    return { id, summary: Effect.succeed(summary), ...readerOf(parts, id, source.value, summary.nodes === 1) }
  })

/** None: it can't be read, which is in the log, or it went meanwhile. */
const listed = (parts: Parts, id: RunId) =>
  find(parts, id).pipe(
    Effect.flatMap((run) => run.summary),
    Effect.tapErrorTag("StorageError", (error) =>
      Effect.logWarning("a run in the history can't be read", error)
    ),
    Effect.option
  )

/** One more than asked for is looked at: where there is none that can be shown, this is the last page. */
const list = (parts: Parts, limit: number, before: Option.Option<RunId>) =>
  parts.history.ids(before).pipe(
    Stream.mapEffect((id) => listed(parts, id)),
    Stream.filterMap((run) => run),
    Stream.take(limit + 1),
    Stream.runCollect,
    Effect.map((found) => {
      const runs = Chunk.toReadonlyArray(found).slice(0, limit)
      return { runs, next: found.length > limit ? (runs.at(-1)?.id ?? null) : null }
    })
  )

const cancel = ({ active }: Parts, id: RunId) =>
  Effect.suspend(() => {
    const run = active.get(id)
    return run === undefined ? Effect.succeed(false) : Effect.as(run.execution.cancel, true)
  })

/** Starts no more runs, tells those that go on how they end, and returns when they have. */
const stop = (parts: Parts, tell: (run: ActiveRun) => Effect.Effect<void>) =>
  Effect.suspend(() => {
    parts.stopping = true
    const runs = [...parts.active.values()]
    return Effect.andThen(
      Effect.forEach(runs, tell, { discard: true }),
      Effect.forEach(runs, ({ over }) => Deferred.await(over), { discard: true })
    )
  })
