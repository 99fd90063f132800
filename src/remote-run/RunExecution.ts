/**
 * One run that goes on: batch by batch, as its policy says, agents are started as there are permits, sub-relays are asked,
 * and every node gets its one end.
 */
import { Cause, Clock, Deferred, Duration, Effect, Exit, FiberRef, FiberSet, HashMap } from "effect"
import type { Settings } from "../config/Settings.ts"
import * as EventLoop from "../EventLoop.ts"
import { isHostname } from "../Hostname.ts"
import type { NodeId } from "../NodeId.ts"
import * as Race from "../Race.ts"
import * as Span from "../Span.ts"
import type { Node } from "../topology/Node.ts"
import * as AgentWarnings from "./AgentWarnings.ts"
import type { AgentPermits } from "./agents/AgentPermits.ts"
import type { AgentProcessService } from "./agents/AgentProcess.ts"
import * as Deadlines from "./Deadlines.ts"
import type { NodeLog } from "./journal/NodeLog.ts"
import * as NodeEndings from "./NodeEndings.ts"
import type { RunControl } from "./RunControl.ts"
import type { NodeEnding, NodeOutcome } from "./RunEvent.ts"
import * as RunMetrics from "./RunMetrics.ts"
import * as RunPlan from "./RunPlan.ts"
import * as RunPolicy from "./RunPolicy.ts"
import type { RunProgress } from "./RunProgress.ts"
import * as Splay from "./Splay.ts"
import * as SubRelayReports from "./sub-relays/SubRelayReports.ts"
import type { SubRelaysService } from "./sub-relays/SubRelays.ts"

/** A run, from its first agent to its last end. */
export interface RunExecution {
  /** Succeeds when every node has its end, also where it is interrupted. To be run once. */
  readonly run: Effect.Effect<void>
  /** From now on no agent is started: nodes that wait end as cancelled. Returns at once. */
  readonly stopStarting: Effect.Effect<void>
  /** Ends all that runs, and what waits. Returns at once. */
  readonly cancel: Effect.Effect<void>
  /** Own nodes that may start, and wait for a permit. */
  readonly waiting: () => number
  /** Agents that are being ended, since they took longer than they may, and are still there. */
  readonly overdue: () => number
}

/** What runs have in common. */
export interface RunExecutionParts {
  readonly agents: AgentProcessService
  readonly subRelays: SubRelaysService
  /** Each run is a lane of its own. */
  readonly permits: AgentPermits
  /** How long an agent may take. */
  readonly timeout: Settings["remoteRun"]["timeout"]
}

interface Parts extends RunExecutionParts {
  readonly plan: RunPlan.RunPlan
  readonly progress: RunProgress
  readonly warnings: AgentWarnings.AgentWarnings
  readonly policy: RunPolicy.RunPolicy
  /** Between two batches. */
  readonly batchWait: Duration.Duration
  /** Each start is put off by a random part of it. */
  readonly splay: Duration.Duration
  /** What of the plan may start, and how that ended. */
  course: RunPolicy.Course
  /** Own nodes that may start and have not: each is an entry here, not a fiber. */
  readonly waiting: Set<Node>
  /** Sub-relays that are to be asked, and have not been, likewise. */
  readonly unasked: Map<Node, ReadonlyArray<NodeId>>
  /** Open when every node that may start has its end. */
  readonly batchOver: Effect.Latch
  /** How nodes end that were not started; from then on none is. */
  unstarted: NodeEnding | undefined
  /** Agents whose time is over. */
  readonly overdue: Set<NodeId>
  /** Done when `unstarted` is known. */
  readonly stopped: Deferred.Deferred<void>
  readonly cancelled: Deferred.Deferred<void>
}

/** What has been started. */
interface Underway {
  readonly fibers: FiberSet.FiberSet<void>
  /** Of the agents among them. */
  readonly deadlines: Deadlines.Deadlines
}

/** Nothing is started before `run`. */
export const make = (
  shared: RunExecutionParts,
  plan: RunPlan.RunPlan,
  progress: RunProgress,
  control: RunControl = {}
): Effect.Effect<RunExecution> =>
  Effect.gen(function* () {
    const parts: Parts = {
      ...shared,
      plan,
      progress,
      warnings: AgentWarnings.make(),
      policy: RunPolicy.make(control, plan.known.length),
      batchWait: control.batchWait ?? Duration.zero,
      splay: control.splay ?? Duration.zero,
      course: RunPolicy.beginning,
      waiting: new Set(),
      unasked: new Map(),
      batchOver: yield* Effect.makeLatch(true),
      unstarted: undefined,
      overdue: new Set(),
      stopped: yield* Deferred.make<void>(),
      cancelled: yield* Deferred.make<void>()
    }
    progress.onEnd = (outcome) => heed(parts, outcome)
    const stopStarting = Effect.sync(() => stop(parts, NodeEndings.cancelled))
    return {
      run: run(parts),
      stopStarting,
      cancel: Effect.andThen(stopStarting, Effect.asVoid(Deferred.succeed(parts.cancelled, undefined))),
      waiting: () => parts.waiting.size,
      overdue: () => parts.overdue.size
    }
  })

/** From now on no node is started: those that were not end like this. A later reason changes nothing. */
const stop = (parts: Parts, unstarted: NodeEnding): void => {
  if (parts.unstarted !== undefined) return
  parts.unstarted = unstarted
  Deferred.unsafeDone(parts.stopped, Exit.void)
}

/** Tells the policy of an end, at once, so that no agent starts in between where the policy now says stop. */
const heed = (parts: Parts, { code }: NodeOutcome): void => {
  if (parts.unstarted !== undefined) return
  parts.course = RunPolicy.ended(parts.course, code === 0)
  const step = RunPolicy.next(parts.policy, parts.course)
  if (step._tag === "Stop") stop(parts, NodeEndings.skipped)
  else if (step._tag !== "Wait") parts.batchOver.unsafeOpen()
}

const run = (parts: Parts): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* Effect.exit(Effect.interruptible(runAll(parts)))
    yield* endUnstarted(parts)
    yield* parts.warnings.rest
  }).pipe(Effect.uninterruptible)

/**
 * Until all have ended, or the run is cancelled: then the fibers that run agents and calls are interrupted and
 * awaited.
 */
const runAll = (parts: Parts) =>
  Effect.gen(function* () {
    const { stopped, cancelled } = parts
    const fibers = yield* FiberSet.make<void>()
    // Made after the set, so that what is being cancelled has no deadline any more.
    const underway = { fibers, deadlines: yield* Deadlines.make(parts.timeout) }
    // Who has been given a permit begins what it is for, before what that begins in is closed.
    yield* Race.first(releaseAll(parts, underway), Deferred.await(stopped))
    yield* endUnstarted(parts)
    yield* logStop(parts)
    yield* FiberSet.awaitEmpty(fibers).pipe(Effect.raceFirst(Deferred.await(cancelled)))
  }).pipe(Effect.scoped)

/** Batch after batch, as the policy releases them, until all that is to start has started. */
const releaseAll = (parts: Parts, underway: Underway) =>
  Effect.gen(function* () {
    const { policy, batchWait, batchOver } = parts
    while (true) {
      const step = RunPolicy.next(policy, parts.course)
      if (step._tag !== "Release") return
      if (step.from > 0) yield* Effect.sleep(batchWait)
      yield* release(parts, underway, step)
      if (step.to < policy.nodes) yield* batchOver.await
    }
  })

/** One batch: its sub-relays are asked, and each of its own nodes starts as soon as there is a permit, in their order. */
const release = (
  parts: Parts,
  underway: Underway,
  { from, to }: { readonly from: number; readonly to: number }
) =>
  Effect.gen(function* () {
    const { plan, splay, waiting, unasked, batchOver } = parts
    const { own, behind } = yield* RunPlan.part(plan, from, to)
    batchOver.unsafeClose()
    parts.course = RunPolicy.released(parts.course, to)
    for (const node of own) waiting.add(node)
    for (const [relay, nodes] of behind) unasked.set(relay, nodes)
    const ask = Splay.inTurn(splay, [...behind.keys()], (relay) => askRelay(parts, underway, relay))
    const start = Splay.inTurn(splay, own, (node) => startWithPermit(parts, underway, node))
    // A call that is put off longer need not wait for permits.
    yield* Effect.all([ask, start], { concurrency: Duration.isZero(splay) ? 1 : 2, discard: true })
  })

const askRelay = (parts: Parts, { fibers }: Underway, relay: Node) =>
  Effect.suspend(() => {
    const nodes = parts.unasked.get(relay) ?? []
    parts.unasked.delete(relay)
    // A fiber starts as interruptible as the one that forks it, which is not, here.
    return FiberSet.run(fibers, Effect.interruptible(runBehind(parts, relay, nodes)))
  }).pipe(Effect.asVoid, Effect.uninterruptible)

const startWithPermit = (parts: Parts, underway: Underway, node: Node) =>
  Effect.uninterruptibleMask((restore) => {
    const { permits, progress, waiting } = parts
    return Effect.flatMap(restore(permits.take(progress)), () => {
      waiting.delete(node)
      progress.journal.keepOpen()
      // A fiber starts as interruptible as the one that forks it, which is not, here.
      const agent = Effect.interruptible(runAgent(parts, underway, node))
      return FiberSet.run(underway.fibers, Effect.ensuring(agent, permits.give))
    })
  })

/** How many nodes are handled between two pauses. */
const nodesBetweenPauses = 1000

/**
 * Takes the nodes that were not started: first those that may start, then those of later batches. Each is given once.
 */
function* takeUnstarted(parts: Parts): Iterable<NodeId> {
  const { plan, waiting, unasked } = parts
  for (const node of waiting) {
    waiting.delete(node)
    yield node.id
  }
  for (const [relay, nodes] of unasked) {
    unasked.delete(relay)
    yield* nodes
  }
  const { released } = parts.course
  parts.course = RunPolicy.released(parts.course, plan.known.length)
  for (let place = released; place < plan.known.length; place++) {
    const node = plan.known[place]
    if (node !== undefined) yield node
  }
}

/** Nodes that were not started end as the stop says; where there was none, as cancelled. */
const endUnstarted = (parts: Parts) =>
  Effect.gen(function* () {
    const { progress } = parts
    const now = yield* Clock.currentTimeMillis
    let count = 0
    for (const node of takeUnstarted(parts)) {
      progress.end(progress.logOf(node, now), parts.unstarted ?? NodeEndings.cancelled, now)
      if (++count % nodesBetweenPauses === 0) yield* EventLoop.turn
    }
  }).pipe(Effect.uninterruptible)

/** Who was skipped is in the run; why, in the log. */
const logStop = ({ policy, course, unstarted }: Parts) =>
  unstarted?.skipped !== true
    ? Effect.void
    : Effect.logWarning("a run is stopped: too many nodes have failed").pipe(
        Effect.annotateLogs({
          failed: course.failed,
          limit: course.failed > policy.maxFailures ? `max_failures=${policy.maxFailures}` : "canary"
        })
      )

/** For all that the fiber logs; nothing comes behind it. */
const logAs = (node: Node) =>
  FiberRef.update(FiberRef.currentLogAnnotations, HashMap.set<string, unknown>("node", node.id))

const inSpan = Span.around("RemoteRun.agent")

/**
 * A fiber of its own. In functions, as all that is done once for each agent, and not in a generator: a generator's function
 * that is made anew each time costs as much as all else here.
 */
const runAgent = (parts: Parts, { deadlines }: Underway, node: Node): Effect.Effect<void> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime<void>((fiber) => {
      const run = Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const { progress } = parts
        const log = progress.logOf(node.id, now)
        // The run may have been stopped while this fiber had not begun.
        if (parts.unstarted !== undefined) {
          progress.end(log, parts.unstarted, now)
          return Effect.void
        }
        const deadline = deadlines.begin(fiber, now, () => parts.overdue.add(node.id))
        progress.running++
        const over = (exit: Exit.Exit<NodeEnding>) => agentOver(parts, { node, log, deadline }, exit)
        if (!isHostname(node.hostname)) return over(Exit.succeed(NodeEndings.badHostname(node)))
        const agent = inSpan(startAgent(parts, node, log), () => ({ node: node.id }))
        return Effect.flatMap(Effect.exit(restore(agent)), over)
      })
      return Effect.zipRight(logAs(node), run)
    })
  )

interface StartedAgent {
  readonly node: Node
  readonly log: NodeLog
  readonly deadline: Deadlines.Deadline
}

/** Writes the end of a node whose agent was started. */
const agentOver = (
  { overdue, progress, warnings }: Parts,
  { node, log, deadline }: StartedAgent,
  exit: Exit.Exit<NodeEnding>
): Effect.Effect<void> => {
  progress.running--
  deadline.drop()
  if (deadline.isOver()) overdue.delete(node.id)
  const ending = NodeEndings.ofExit(exit, deadline.isOver())
  const ended = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const outcome = progress.end(log, ending, now)
    if (outcome === undefined) return Effect.void
    RunMetrics.agentEnded(outcome)
    return warnings.ended(outcome)
  })
  return Exit.isFailure(exit) && !Cause.isInterrupted(exit.cause)
    ? Effect.zipRight(Effect.logError("agent failed", exit.cause), ended)
    : ended
}

const startAgent = ({ agents, progress }: Parts, { hostname }: Node, log: NodeLog) =>
  Effect.suspend(() => {
    log.start(hostname)
    return agents.run({ hostname, classes: progress.head.classes }, log)
  }).pipe(Effect.match({ onSuccess: NodeEndings.ofAgent, onFailure: NodeEndings.ofError }))

/** A sub-relay that says nothing of a node has not run it, as far as anybody knows. */
const runBehind = (parts: Parts, relay: Node, nodes: ReadonlyArray<NodeId>) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const { progress, subRelays } = parts
      const { report, output, finish } = SubRelayReports.make(progress, { relay, nodes }, yield* Effect.clock)
      if (parts.unstarted !== undefined) {
        finish(parts.unstarted)
        return
      }
      progress.journal.keepOpen()
      const { classes, by } = progress.head
      const order = { relay, nodes, classes, report, output, ...(by === undefined ? {} : { by }) }
      const exit = yield* Effect.exit(restore(subRelays.run(order)))
      const dropped = finish(Exit.isSuccess(exit) ? NodeEndings.unreported(relay) : NodeEndings.cancelled)
      if (dropped > 0)
        yield* Effect.logWarning("output of a sub-relay was dropped").pipe(
          Effect.annotateLogs({ bytes: dropped })
        )
    })
  ).pipe(Effect.annotateLogs({ relay: relay.id }))
