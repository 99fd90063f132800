/** Remote runs: the agents of this relay's own nodes, and of those behind its sub-relays, as one run with one history. */
import { FileSystem } from "@effect/platform"
import {
  Cause,
  Chunk,
  Clock,
  Context,
  Deferred,
  Effect,
  Exit,
  FiberSet,
  Layer,
  Option,
  Scope,
  Stream
} from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import * as EventLoop from "../EventLoop.ts"
import { isHostname } from "../Hostname.ts"
import { type NodeId, root } from "../NodeId.ts"
import { type StorageError, TooBusy, UnknownTarget } from "../RelayError.ts"
import type { Node } from "../topology/Node.ts"
import { NodesList } from "../topology/NodesList.ts"
import * as AgentWarnings from "./AgentWarnings.ts"
import * as AgentPermits from "./agents/AgentPermits.ts"
import { type AgentError, type AgentExit, AgentProcess } from "./agents/AgentProcess.ts"
import type { ClassName } from "./ClassName.ts"
import { Kind } from "./journal/JournalRecord.ts"
import { type NodeEnding, NodeLog } from "./journal/NodeLog.ts"
import { RunHistory } from "./journal/RunHistory.ts"
import type { JournalSource, RunJournal } from "./journal/RunJournal.ts"
import * as RunReader from "./journal/RunReader.ts"
import { RunNotFound } from "./RemoteRunError.ts"
import { type RunDone, type RunStarted, seconds, verdict } from "./RunEvent.ts"
import { generator, type RunId, startedAt } from "./RunId.ts"
import type { OutputChoice, RunHead, RunPage, RunSummary } from "./RunRecord.ts"
import { type SubRelayNode, type SubRelayOutput, SubRelays } from "./sub-relays/SubRelays.ts"

/** Which nodes a run is for. `One` of an unknown id is an error; unknown ids of `Nodes` are named and left out. */
export type RunTarget =
  | { readonly _tag: "All" }
  | { readonly _tag: "Nodes"; readonly ids: ReadonlyArray<NodeId> }
  | { readonly _tag: "One"; readonly id: NodeId }

export interface RunOrder {
  readonly target: RunTarget
  readonly classes: ReadonlyArray<ClassName>
  readonly output: OutputChoice
}

/** A run, going on or past. */
export interface Run {
  readonly id: RunId
  readonly summary: Effect.Effect<RunSummary, StorageError>
  /** Where its journal ends, once it is over: a client that has the event of this offset has all. */
  readonly doneAt: Effect.Effect<Option.Option<number>>
  /** Its events as they are now; output is passed over. */
  readonly events: Stream.Stream<RunReader.StoredEvent, StorageError>
  /** What a caller sees of it; it follows a run that goes on, at the caller's pace. */
  readonly read: (options: Omit<RunReader.ReadOptions, "single">) => Stream.Stream<Uint8Array, StorageError>
}

/** A run that has just been started. It belongs to the relay: who leaves does not stop it. */
export interface StartedRun extends Run {
  readonly started: RunStarted
}

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
  /** At its end every run is cancelled, and its agents are gone. */
  static readonly layer = Layer.scoped(
    RemoteRun,
    Effect.suspend(() => make)
  )
}

interface ActiveRun {
  readonly id: RunId
  readonly head: RunHead
  readonly started: RunStarted
  readonly journal: RunJournal
  readonly own: ReadonlyArray<Node>
  readonly behind: ReadonlyMap<Node, ReadonlyArray<NodeId>>
  /** No more agents are started. */
  readonly stopStarting: Deferred.Deferred<void>
  readonly cancelled: Deferred.Deferred<void>
  readonly over: Deferred.Deferred<void>
  readonly warnings: AgentWarnings.AgentWarnings
  running: number
  ok: number
  failed: number
}

/** How many nodes are handled between two such pauses. */
const nodesPerTurn = 1000

const make = Effect.gen(function* () {
  const { general, remoteRun } = yield* RelayConfig
  const nodesList = yield* NodesList
  const agents = yield* AgentProcess
  const subRelays = yield* SubRelays
  const history = yield* RunHistory
  const fs = yield* FileSystem.FileSystem
  const permits = AgentPermits.make(remoteRun.maxConcurrent)
  const nextId = generator()
  const active = new Map<RunId, ActiveRun>()
  let draining = false

  const resolve = (target: RunTarget) =>
    Effect.gen(function* () {
      const nodes = yield* nodesList.current
      const own: Array<Node> = []
      const behind = new Map<Node, Array<NodeId>>()
      const known: Array<NodeId> = []
      const unknown: Array<NodeId> = []
      const ids = target._tag === "All" ? nodes.ids() : target._tag === "One" ? [target.id] : target.ids
      let count = 0
      for (const id of ids) {
        const node = Option.getOrUndefined(nodes.get(id))
        const route = nodes.route(id)
        const hop = route._tag === "Behind" ? Option.getOrUndefined(nodes.get(route.relays[0])) : undefined
        if (node !== undefined && route._tag === "Mine") own.push(node)
        else if (node !== undefined && hop !== undefined) {
          const others = behind.get(hop)
          if (others === undefined) behind.set(hop, [id])
          else others.push(id)
        } else unknown.push(id)
        if (node !== undefined && (route._tag === "Mine" || hop !== undefined)) known.push(id)
        if (++count % nodesPerTurn === 0) yield* EventLoop.turn
      }
      return { own, behind, known, unknown: target._tag === "All" ? [] : unknown }
    })

  /** Root without a list can't know: it says "later" where it would say "unknown". */
  const refuseUnknown = (id: NodeId) =>
    Effect.gen(function* () {
      if (general.nodeId === root && (yield* nodesList.neverLoaded))
        return yield* new TooBusy({ message: "the nodes list was not loaded yet", retryAfterSeconds: 10 })
      return yield* new UnknownTarget({ message: `no node ${id} below this relay`, target: id })
    })

  const start = (order: RunOrder) =>
    Effect.gen(function* () {
      if (draining) return yield* new TooBusy({ message: "the relay is stopping", retryAfterSeconds: 10 })
      const resolved = yield* resolve(order.target)
      if (order.target._tag === "One" && resolved.unknown.length > 0)
        return yield* refuseUnknown(order.target.id)
      const now = yield* Clock.currentTimeMillis
      const id = nextId(now)
      const head: RunHead = {
        id,
        started: new Date(now).toISOString(),
        output: order.output,
        classes: order.classes,
        nodes: resolved.known.length
      }
      const started: RunStarted = {
        event: "run",
        id,
        nodes: resolved.known,
        unknown: resolved.unknown,
        classes: order.classes
      }
      const journal = yield* history.begin(id, head, started)
      const run: ActiveRun = {
        id,
        head,
        started,
        journal,
        own: resolved.own,
        behind: resolved.behind,
        stopStarting: yield* Deferred.make<void>(),
        cancelled: yield* Deferred.make<void>(),
        over: yield* Deferred.make<void>(),
        warnings: AgentWarnings.make(),
        running: 0,
        ok: 0,
        failed: 0
      }
      active.set(id, run)
      yield* Effect.forkIn(execute(run), runs)
      return { ...activeRun(run), started }
    }).pipe(Effect.uninterruptible, Effect.withSpan("RemoteRun.start"))

  const execute = (run: ActiveRun) =>
    Effect.gen(function* () {
      yield* Effect.logInfo("run started").pipe(Effect.annotateLogs({ nodes: run.head.nodes }))
      const waiting = new Set(run.own)
      yield* Effect.exit(Effect.interruptible(runAll(run, waiting)))
      yield* endWaiting(run, waiting)
      yield* run.warnings.rest
      const now = yield* Clock.currentTimeMillis
      const done: RunDone = {
        event: "done",
        ok: run.ok,
        failed: run.failed,
        duration: seconds(now - startedAt(run.id))
      }
      run.journal.event(Kind.done, "", done, 0)
      yield* history.finish(run.id, run.journal)
      active.delete(run.id)
      yield* Deferred.succeed(run.over, undefined)
      yield* Effect.logInfo("run ended").pipe(Effect.annotateLogs({ ok: run.ok, failed: run.failed }))
    }).pipe(
      Effect.uninterruptible,
      Effect.annotateLogs({ run: run.id }),
      Effect.withSpan("RemoteRun.execute")
    )

  const runAll = (run: ActiveRun, waiting: Set<Node>) =>
    Effect.gen(function* () {
      const fibers = yield* FiberSet.make<void>()
      for (const [relay, nodes] of run.behind) yield* FiberSet.run(fibers, runBehind(run, relay, nodes))
      yield* startOwn(run, waiting, fibers).pipe(Effect.raceFirst(Deferred.await(run.stopStarting)))
      yield* endWaiting(run, waiting)
      yield* FiberSet.awaitEmpty(fibers).pipe(Effect.raceFirst(Deferred.await(run.cancelled)))
    }).pipe(Effect.scoped)

  /** One node after the other as permits come: what waits is an entry in a set, not a fiber. */
  const startOwn = (run: ActiveRun, waiting: Set<Node>, fibers: FiberSet.FiberSet<void>) =>
    Effect.forEach(
      run.own,
      (node) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function* () {
            const permit = yield* Scope.make()
            const give = Scope.close(permit, Exit.void)
            yield* restore(Scope.extend(permits.take(run), permit)).pipe(Effect.onError(() => give))
            waiting.delete(node)
            run.journal.keepOpen()
            // A fiber starts as interruptible as the one that forks it, which is not, here.
            yield* FiberSet.run(fibers, Effect.ensuring(Effect.interruptible(runAgent(run, node)), give))
          })
        ),
      { discard: true }
    )

  const logFor = (run: ActiveRun, node: string, now: number, nodes = 1) =>
    new NodeLog({
      journal: run.journal,
      node,
      keep: run.head.output === "keep",
      outputLimit: remoteRun.outputLimit * nodes,
      started: now
    })

  const endNode = (run: ActiveRun, log: NodeLog, ending: NodeEnding, now: number) => {
    const outcome = log.end(ending, now)
    if (outcome === undefined) return undefined
    const result = verdict(outcome)
    if (result === "ok") run.ok++
    if (result === "failed") run.failed++
    return outcome
  }

  const endWaiting = (run: ActiveRun, waiting: Set<Node>) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      let count = 0
      for (const node of waiting) {
        waiting.delete(node)
        endNode(run, logFor(run, node.id, now), { code: null, cancelled: true }, now)
        if (++count % nodesPerTurn === 0) yield* EventLoop.turn
      }
    }).pipe(Effect.uninterruptible)

  const runAgent = (run: ActiveRun, node: Node) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const log = logFor(run, node.id, yield* Clock.currentTimeMillis)
        run.running++
        const exit = isHostname(node.hostname)
          ? yield* startAgent(run, node, log).pipe(restore, Effect.exit)
          : Exit.succeed(Option.some(badHostname(node)))
        run.running--
        if (Exit.isFailure(exit) && !Cause.isInterrupted(exit.cause))
          yield* Effect.logError("agent failed", exit.cause)
        const outcome = endNode(run, log, endingOf(exit), yield* Clock.currentTimeMillis)
        if (outcome !== undefined) yield* run.warnings.ended(outcome)
      })
    ).pipe(
      Effect.annotateLogs({ node: node.id }),
      Effect.withSpan("RemoteRun.agent", { attributes: { node: node.id } })
    )

  const startAgent = (run: ActiveRun, node: Node, log: NodeLog) =>
    Effect.suspend(() => {
      log.start(node.hostname)
      return agents.run({ hostname: node.hostname, classes: run.head.classes }, log)
    }).pipe(
      Effect.map(exitEnding),
      Effect.catchTag("AgentError", (error) => Effect.succeed(errorEnding(error))),
      Effect.timeoutOption(remoteRun.timeout)
    )

  /** What a sub-relay reports, written down: of each node one start at most, and nothing behind its end. */
  const reportsOf = (run: ActiveRun, relay: Node, nodes: ReadonlyArray<NodeId>, clock: Clock.Clock) => {
    const now = () => clock.unsafeCurrentTimeMillis()
    const started = now()
    const logs = new Map<string, NodeLog>()
    const running = new Set<string>()
    const ended = new Set<string>()
    const passed: Array<NodeLog> = []
    const logOf = (node: string) => {
      const log = logs.get(node) ?? logFor(run, node, started)
      logs.set(node, log)
      return log
    }
    const end = (node: string, ending: NodeEnding) => {
      if (ended.has(node)) return
      if (running.delete(node)) run.running--
      endNode(run, logOf(node), ending, now())
      ended.add(node)
      logs.delete(node)
    }
    const report = (node: string): SubRelayNode => ({
      write: (stream, bytes, resume) => ended.has(node) || logOf(node).write(stream, bytes, resume),
      start: (hostname) => {
        if (ended.has(node) || running.has(node)) return
        run.running++
        running.add(node)
        logOf(node).start(hostname)
      },
      end: (ending) => end(node, ending)
    })
    const output = (): SubRelayOutput => {
      const log = logFor(run, relay.id, started, nodes.length)
      passed.push(log)
      return { write: log.write, over: () => log.pass() }
    }
    const finish = (missing: NodeEnding) => {
      for (const log of passed) log.pass()
      for (const node of nodes) end(node, missing)
      return passed.reduce((sum, log) => sum + log.dropped, 0)
    }
    return { report, output, finish }
  }

  /** A sub-relay that says nothing of a node has not run it, as far as anybody knows. */
  const runBehind = (run: ActiveRun, relay: Node, nodes: ReadonlyArray<NodeId>) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const { report, output, finish } = reportsOf(run, relay, nodes, yield* Effect.clock)
        run.journal.keepOpen()
        const exit = yield* Effect.exit(
          restore(subRelays.run({ relay, nodes, classes: run.head.classes, report, output }))
        )
        const dropped = finish(Exit.isSuccess(exit) ? unreported(relay) : { code: null, cancelled: true })
        if (dropped > 0)
          yield* Effect.logWarning("output of a sub-relay was dropped").pipe(
            Effect.annotateLogs({ bytes: dropped })
          )
      })
    ).pipe(Effect.annotateLogs({ relay: relay.id }))

  const activeSummary = (run: ActiveRun): RunSummary => ({
    ...run.head,
    running: run.running,
    ok: run.ok,
    failed: run.failed
  })

  const readerOf = (source: JournalSource, single: boolean) => ({
    doneAt: Effect.sync(() => (source.ended() ? Option.some(source.length()) : Option.none())),
    events: RunReader.events(source).pipe(Stream.provideService(FileSystem.FileSystem, fs)),
    read: (options: Omit<RunReader.ReadOptions, "single">) =>
      // The block of a run's only node need not wait for its end.
      RunReader.stream(source, { ...options, order: single ? "live" : options.order, single }).pipe(
        Stream.provideService(FileSystem.FileSystem, fs)
      )
  })

  const activeRun = (run: ActiveRun): Run => ({
    id: run.id,
    summary: Effect.sync(() => activeSummary(run)),
    ...readerOf(run.journal, run.head.nodes === 1)
  })

  const find = (id: RunId) =>
    Effect.gen(function* () {
      const run = active.get(id)
      if (run !== undefined) return activeRun(run)
      const source = yield* history.find(id)
      if (Option.isNone(source)) return yield* new RunNotFound({ message: `no run ${id}`, run: id })
      const summary = yield* history.summary(id, source.value)
      return { id, summary: Effect.succeed(summary), ...readerOf(source.value, summary.nodes === 1) }
    })

  /** None: it can't be read, which is in the log, or it went meanwhile. */
  const listed = (id: RunId) =>
    find(id).pipe(
      Effect.flatMap((run) => run.summary),
      Effect.tapErrorTag("StorageError", (error) =>
        Effect.logWarning("a run in the history can't be read", error)
      ),
      Effect.option
    )

  /** One more than asked for is looked at: where there is none that can be shown, this is the last page. */
  const list = (limit: number, before: Option.Option<RunId>) =>
    history.ids(before).pipe(
      Stream.mapEffect(listed),
      Stream.filterMap((run) => run),
      Stream.take(limit + 1),
      Stream.runCollect,
      Effect.map((found) => {
        const runs = Chunk.toReadonlyArray(found).slice(0, limit)
        return { runs, next: found.length > limit ? (runs.at(-1)?.id ?? null) : null }
      })
    )

  const cancelRun = (run: ActiveRun) =>
    Effect.andThen(Deferred.succeed(run.stopStarting, undefined), Deferred.succeed(run.cancelled, undefined))

  const cancel = (id: RunId) =>
    Effect.suspend(() => {
      const run = active.get(id)
      return run === undefined ? Effect.succeed(false) : Effect.as(cancelRun(run), true)
    })

  const awaitAll = Effect.suspend(() =>
    Effect.forEach([...active.values()], (run) => Deferred.await(run.over), { discard: true })
  )

  const drain = Effect.suspend(() => {
    draining = true
    return Effect.forEach([...active.values()], (run) => Deferred.succeed(run.stopStarting, undefined), {
      discard: true
    })
  }).pipe(Effect.andThen(awaitAll))

  // Runs outlive the requests that start them: they belong to this scope.
  const runs = yield* Scope.make()
  const cancelAll = Effect.suspend(() => {
    draining = true
    return Effect.forEach([...active.values()], cancelRun, { discard: true })
  }).pipe(Effect.andThen(awaitAll))
  yield* Effect.addFinalizer((exit) => Effect.andThen(cancelAll, Scope.close(runs, exit)))

  const activity = Effect.gen(function* () {
    return { runs: active.size, agents: yield* permits.inUse, unkillable: yield* agents.unkillable }
  })
  return RemoteRun.of({ start, find, list, cancel, activity, drain, cancelAll })
})

const unreported = (relay: Node): NodeEnding => ({
  code: null,
  error: { _tag: "UpstreamFatal", message: `sub-relay ${relay.id} did not report this node` }
})

const badHostname = (node: Node): NodeEnding => ({
  code: null,
  error: {
    _tag: "AgentError",
    message: `the nodes list has no valid hostname for this node: ${JSON.stringify(node.hostname)}`
  }
})

const exitEnding = ({ code, signal }: AgentExit): NodeEnding => ({
  code,
  ...(code === null && signal !== null ? { signal } : {})
})

const errorEnding = (error: AgentError): NodeEnding => ({
  code: null,
  error: { _tag: error._tag, message: error.message }
})

const endingOf = (exit: Exit.Exit<Option.Option<NodeEnding>>): NodeEnding =>
  Exit.match(exit, {
    onSuccess: Option.getOrElse((): NodeEnding => ({ code: null, timeout: true })),
    onFailure: (cause): NodeEnding =>
      Cause.isInterrupted(cause)
        ? { code: null, cancelled: true }
        : { code: null, error: { _tag: "AgentError", message: "internal error; the relay's log has it" } }
  })
