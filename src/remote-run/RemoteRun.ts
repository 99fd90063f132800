/** Remote runs: the agents of this relay's own nodes, and of those behind its sub-relays, as one run with one history. */
import { FileSystem } from "@effect/platform"
import { Clock, Context, Deferred, Effect, Layer, Option, Scope, Stream } from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import type { NodeId } from "../NodeId.ts"
import { StorageError, TooBusy, type UnknownTarget } from "../RelayError.ts"
import * as RequestReport from "../RequestReport.ts"
import { NodesList, type NodesListService } from "../topology/NodesList.ts"
import * as AgentPermits from "./agents/AgentPermits.ts"
import { AgentProcess } from "./agents/AgentProcess.ts"
import type { ClassName } from "./ClassName.ts"
import { MarkedRuns } from "./journal/EventMarks.ts"
import { Kind } from "./journal/JournalRecord.ts"
import { RunHistory, type RunHistoryService } from "./journal/RunHistory.ts"
import type { RunSelection } from "./journal/RunListing.ts"
import * as KeyedStart from "./KeyedStart.ts"
import * as OrderedNodes from "./OrderedNodes.ts"
import { type RunGoesOn, RunNotFound } from "./RemoteRunError.ts"
import * as RunActivity from "./RunActivity.ts"
import type { RunControl } from "./RunControl.ts"
import { type RunDone, type RunStarted, seconds } from "./RunEvent.ts"
import * as RunExecution from "./RunExecution.ts"
import { generator, type RunId, startedAt } from "./RunId.ts"
import { orderDigest, type RunKey } from "./RunKey.ts"
import * as RunMetrics from "./RunMetrics.ts"
import * as RunPages from "./RunPages.ts"
import type * as RunPlan from "./RunPlan.ts"
import * as RunPolicy from "./RunPolicy.ts"
import * as RunPreview from "./RunPreview.ts"
import { RunProgress } from "./RunProgress.ts"
import type { OutputChoice, RunCaller, RunHead, RunPage, RunSummary } from "./RunRecord.ts"
import * as RunRest from "./RunRest.ts"
import * as RunView from "./RunView.ts"
import { SubRelays } from "./sub-relays/SubRelays.ts"

/** What a caller orders. */
export interface RunOrder {
  readonly target: RunPlan.RunTarget
  readonly classes: ReadonlyArray<ClassName>
  readonly output: OutputChoice
  /** How the run goes on. Absent: every node may start at once. */
  readonly control?: RunControl
  /** Who asks for it. */
  readonly by?: RunCaller
  /** The run of which this one is a retry. */
  readonly parent?: RunId
  /** The key of the request: with the same one, the same order is answered with the same run. */
  readonly key?: RunKey | undefined
}

/** A run, going on or past. */
export interface Run extends RunView.ReadableRun {
  readonly id: RunId
  readonly summary: Effect.Effect<RunSummary, StorageError>
}

/** A run that was started, just now or by the same key before. It belongs to the relay: who leaves does not stop it. */
export interface StartedRun extends Run {
  readonly started: RunStarted
  /** It was started before: this request came again, and started nothing. */
  readonly isRepeat: boolean
}

/** The registry of runs. */
export interface RemoteRunService {
  /**
   * Starts a run and returns at once. `UnknownTarget`: the one node is not known. `TooBusy`: the relay is stopping, or
   * (root) has no nodes list yet. Only with a key: `IdempotencyConflict` where it was used for another order, or for one
   * of which no output is kept; `RunNotFound` where its run is not kept any more; `TooBusy` where there are too many keys;
   * `StorageError` and `StorageFull` where it can't be kept.
   */
  readonly start: (order: RunOrder) => Effect.Effect<StartedRun, UnknownTarget | KeyedStart.KeyedError>
  /** What `start` would do with this order: nothing is started, and nothing is kept. Fails as `start` does. */
  readonly preview: (order: RunOrder) => Effect.Effect<RunPreview.RunPreview, UnknownTarget | TooBusy>
  readonly find: (id: RunId) => Effect.Effect<Run, RunNotFound | StorageError>
  /**
   * What is left of a run that is over: its nodes that are not ok for one of these reasons. `RunGoesOn`: it is not over;
   * where it was cancelled, its end is waited for, half a minute.
   */
  readonly rest: (
    id: RunId,
    only: ReadonlySet<RunRest.RestReason>
  ) => Effect.Effect<RunRest.RunRest, RunNotFound | RunGoesOn | StorageError>
  /** Newest first: those that are selected, and at most `limit` of them. */
  readonly list: (limit: number, selection: RunSelection) => Effect.Effect<RunPage, StorageError>
  /** Ends the agents of a run; true when it was going on. Returns before they are gone. @param by who asks, for the log */
  readonly cancel: (id: RunId, by?: RunCaller) => Effect.Effect<boolean>
  /** What goes on now. */
  readonly activity: Effect.Effect<RunActivity.RunActivity>
  /**
   * Starts no more agents, ends those that wait, and returns when the running ones have ended. At the end of a scope a limit
   * needs `Effect.timeoutOption(Effect.interruptible(drain), limit)`: nothing else is interrupted there.
   */
  readonly drain: Effect.Effect<void>
  /** Starts no more runs, cancels those that go on, and returns when their agents are gone. */
  readonly cancelAll: Effect.Effect<void>
}

/** The runs of this relay. */
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
  /** When it began here. Milliseconds since 1970. */
  readonly begun: number
  readonly over: Deferred.Deferred<void>
  /** Comes before its first agent, and else before it is over. */
  readonly beforeFirst: Effect.Effect<void, StorageError>
  isCancelled: boolean
  /** Who cancelled it first, where somebody said. */
  cancelledBy: RunCaller | undefined
  /** Its last event is told. */
  isDone: boolean
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
  /** A run on its way into `active` holds one of `everyStart`; a stop waits for all of them. */
  readonly starts: Effect.Semaphore
}

const everyStart = Number.MAX_SAFE_INTEGER

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
    stopping: false,
    starts: yield* Effect.makeSemaphore(everyStart)
  }
  const cancelAll = stop(parts, ({ execution }) => execution.cancel)
  yield* Effect.addFinalizer((exit) => Effect.andThen(cancelAll, Scope.close(parts.runs, exit)))
  return RemoteRun.of({
    start: (order) => parts.starts.withPermits(1)(start(parts, order)),
    preview: (order) => preview(parts, order),
    find: (id) => find(parts, id),
    rest: (id, only) =>
      RunRest.of({ goingOn: (run) => parts.active.get(run), find: (run) => find(parts, run) }, id, only),
    list: (limit, selection) => list(parts, limit, selection),
    cancel: (id, by) => cancel(parts, id, by),
    activity: RunActivity.of(parts.active, permits, agents),
    drain: stop(parts, ({ execution }) => execution.stopStarting),
    cancelAll
  })
})

const start = Effect.fn("RemoteRun.start")(function* (parts: Parts, order: RunOrder) {
  if (parts.stopping) return yield* new TooBusy({ message: "the relay is stopping", retryAfterSeconds: 10 })
  const { key, by, output, ...ordered } = order
  const planned = plan(parts, order)
  if (key === undefined) return yield* (yield* planned)(yield* nextId(parts), Effect.void)
  const run = yield* KeyedStart.start(parts.history.keys, {
    key,
    order: orderDigest(ordered),
    nextId: nextId(parts),
    persist: parts.history.persist,
    isGoingOn: (id) => parts.active.has(id),
    find: (id) => findStarted(parts, id),
    plan: planned
  })
  // What was not kept can't be shown.
  if (output === "keep" && (yield* run.summary).output === "discard")
    return yield* KeyedStart.conflict(run.id)
  return run
}, Effect.uninterruptible)

const nextId = (parts: Parts) => Effect.map(Clock.currentTimeMillis, parts.nextId)

/** What starts the run of an order, now that nothing is in its way. */
const plan = (parts: Parts, order: RunOrder) =>
  Effect.gen(function* () {
    const plan = yield* OrderedNodes.plan(parts, yield* parts.nodesList.current, order.target)
    const launch: KeyedStart.Launch<StartedRun> = (id, beforeFirst) =>
      Effect.gen(function* () {
        const run = yield* begin(parts, order, plan, id, beforeFirst)
        parts.active.set(run.id, run)
        yield* Effect.forkIn(RequestReport.outside(execute(parts, run)), parts.runs)
        return { ...activeRun(parts, run), started: run.started, isRepeat: false }
      })
    return launch
  })

const preview = Effect.fn("RemoteRun.preview")(function* (parts: Parts, order: RunOrder) {
  const nodes = yield* parts.nodesList.current
  const plan = yield* OrderedNodes.plan(parts, nodes, order.target)
  return yield* RunPreview.make(nodes, plan, RunPolicy.make(order.control ?? {}, plan.known.length))
})

const begin = (
  { history, execution, outputLimit }: Parts,
  { classes, output, control, by, parent, key }: RunOrder,
  plan: RunPlan.RunPlan,
  id: RunId,
  beforeFirst: ActiveRun["beforeFirst"]
) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const { known, unknown } = plan
    const head: RunHead = {
      id,
      // By the id's time runs are listed, found and removed, also where a crash came between.
      started: new Date(startedAt(id)).toISOString(),
      output,
      classes,
      nodes: known.length,
      ...(by === undefined ? {} : { by }),
      ...(parent === undefined ? {} : { parent })
    }
    const parts = key === undefined ? execution : KeyedStart.behind(execution, beforeFirst)
    const started: RunStarted = { event: "run", id, nodes: known, unknown, classes }
    const progress = new RunProgress(head, yield* history.begin(id, head, started), outputLimit)
    const run: ActiveRun = {
      id,
      started,
      progress,
      execution: yield* RunExecution.make(parts, plan, progress, control),
      begun: now,
      over: yield* Deferred.make<void>(),
      beforeFirst,
      isCancelled: false,
      cancelledBy: undefined,
      isDone: false
    }
    return run
  })

/** From the first agent to the record of the run's end. */
const execute = Effect.fn("RemoteRun.execute")(
  function* ({ history, active }: Parts, run: ActiveRun) {
    const { id, begun, progress, execution, over, beforeFirst } = run
    yield* execution.run
    yield* Effect.ignore(beforeFirst)
    const { result } = progress
    const outcome = RunMetrics.outcomeOf(run.isCancelled, result)
    const duration = seconds((yield* Clock.currentTimeMillis) - begun)
    const done: RunDone = { event: "done", ...result, duration }
    run.isDone = true
    progress.journal.event(Kind.done, "", done, 0)
    yield* history.finish(id, progress.summary)
    active.delete(id)
    yield* Deferred.succeed(over, undefined)
    RunMetrics.runEnded(outcome)
    const { nodes } = progress.head
    const ender = run.cancelledBy
    const cancelled =
      ender === undefined ? {} : { cancelled_by: RequestReport.cut(ender.actor ?? ender.address) }
    yield* Effect.logInfo("run ended").pipe(
      Effect.annotateLogs({ outcome, nodes, ...result, ...cancelled, seconds: duration })
    )
  },
  (effect, _, { id, progress }) =>
    effect.pipe(Effect.uninterruptible, Effect.annotateLogs({ run: id, ...progress.words }))
)

const activeRun = (parts: Parts, { id, progress }: ActiveRun): Run => ({
  id,
  summary: Effect.sync(() => progress.summary),
  ...RunView.of(parts, id, progress.journal, progress.head.nodes === 1)
})

const find = (parts: Parts, id: RunId): Effect.Effect<Run, RunNotFound | StorageError> =>
  Effect.gen(function* () {
    const { active, history } = parts
    const run = active.get(id)
    if (run !== undefined) return activeRun(parts, run)
    const source = yield* history.find(id)
    if (Option.isNone(source)) return yield* new RunNotFound({ message: `no run ${id}`, run: id })
    const summary = yield* history.summary(id, source.value)
    return {
      id,
      summary: Effect.succeed(summary),
      ...RunView.of(parts, id, source.value, summary.nodes === 1)
    }
  })

/** The same with its first event. */
const findStarted = (parts: Parts, id: RunId): Effect.Effect<StartedRun, RunNotFound | StorageError> =>
  Effect.gen(function* () {
    const run = yield* find(parts, id)
    const started = yield* run.events.pipe(
      Stream.filter((event) => event.event === "run"),
      Stream.runHead
    )
    if (Option.isNone(started)) return yield* new StorageError({ message: `run ${id} can't be read` })
    return { ...run, started: started.value, isRepeat: true }
  })

const list = (parts: Parts, limit: number, selection: RunSelection) =>
  RunPages.first(
    {
      history: parts.history,
      summaryOf: (id) => Effect.flatMap(find(parts, id), (run) => run.summary),
      isGoingOn: (id) => parts.active.has(id)
    },
    limit,
    selection
  )

const cancel = ({ active }: Parts, id: RunId, by: RunCaller | undefined) =>
  Effect.suspend(() => {
    const run = active.get(id)
    if (run === undefined) return Effect.succeed(false)
    run.isCancelled = true
    run.cancelledBy ??= by
    return Effect.as(run.execution.cancel, true)
  })

/** Starts no more runs, tells those that go on how they end, and returns when they have. */
const stop = (parts: Parts, tell: (run: ActiveRun) => Effect.Effect<void>) =>
  Effect.gen(function* () {
    parts.stopping = true
    yield* parts.starts.withPermits(everyStart)(Effect.void)
    const runs = [...parts.active.values()]
    yield* Effect.forEach(runs, tell, { discard: true })
    yield* Effect.forEach(runs, ({ over }) => Deferred.await(over), { discard: true })
  })
