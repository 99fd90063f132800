/** One run that goes on: agents are started as there are permits, sub-relays are asked, and every node gets its one end. */
import { Cause, Clock, Deferred, Effect, Exit, FiberRef, FiberSet, HashMap } from "effect"
import type { Settings } from "../config/RelayConfig.ts"
import * as EventLoop from "../EventLoop.ts"
import { isHostname } from "../Hostname.ts"
import type { NodeId } from "../NodeId.ts"
import type { Node } from "../topology/Node.ts"
import * as AgentWarnings from "./AgentWarnings.ts"
import type { AgentPermits } from "./agents/AgentPermits.ts"
import type { AgentError, AgentExit, AgentProcessService } from "./agents/AgentProcess.ts"
import * as AgentSpan from "./agents/AgentSpan.ts"
import * as Deadlines from "./Deadlines.ts"
import type { NodeLog } from "./journal/NodeLog.ts"
import type { NodeEnding } from "./RunEvent.ts"
import type { RunPlan } from "./RunPlan.ts"
import type { RunProgress } from "./RunProgress.ts"
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
  readonly plan: RunPlan
  readonly progress: RunProgress
  readonly warnings: AgentWarnings.AgentWarnings
  /** Own nodes that have not been started: each is an entry here, not a fiber. */
  readonly waiting: Set<Node>
  readonly stopped: Deferred.Deferred<void>
  readonly cancelled: Deferred.Deferred<void>
}

/** Nothing is started before `run`. */
export const make = (
  shared: RunExecutionParts,
  plan: RunPlan,
  progress: RunProgress
): Effect.Effect<RunExecution> =>
  Effect.gen(function* () {
    const stopped = yield* Deferred.make<void>()
    const cancelled = yield* Deferred.make<void>()
    const parts: Parts = {
      ...shared,
      plan,
      progress,
      warnings: AgentWarnings.make(),
      waiting: new Set(plan.own),
      stopped,
      cancelled
    }
    const stopStarting = Effect.asVoid(Deferred.succeed(stopped, undefined))
    return {
      run: run(parts),
      stopStarting,
      cancel: Effect.andThen(stopStarting, Effect.asVoid(Deferred.succeed(cancelled, undefined)))
    }
  })

const run = (parts: Parts): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* Effect.exit(Effect.interruptible(runAll(parts)))
    yield* endWaiting(parts)
    yield* parts.warnings.rest
  }).pipe(Effect.uninterruptible)

/** Until all have ended, or the run is cancelled: then the fibers of this scope are interrupted and awaited. */
const runAll = (parts: Parts) =>
  Effect.gen(function* () {
    const { plan, stopped, cancelled } = parts
    const fibers = yield* FiberSet.make<void>()
    // Made after the set, so that what is being cancelled has no deadline any more.
    const deadlines = yield* Deadlines.make(parts.timeout)
    for (const [relay, nodes] of plan.behind) yield* FiberSet.run(fibers, runBehind(parts, relay, nodes))
    yield* startOwn(parts, fibers, deadlines).pipe(Effect.raceFirst(Deferred.await(stopped)))
    yield* endWaiting(parts)
    yield* FiberSet.awaitEmpty(fibers).pipe(Effect.raceFirst(Deferred.await(cancelled)))
  }).pipe(Effect.scoped)

/** Every own node may start as soon as there is a permit for it, in the order of the plan, however others have ended. */
const startOwn = (parts: Parts, fibers: FiberSet.FiberSet<void>, deadlines: Deadlines.Deadlines) =>
  Effect.forEach(parts.plan.own, (node) => startWithPermit(parts, fibers, deadlines, node), { discard: true })

const startWithPermit = (
  parts: Parts,
  fibers: FiberSet.FiberSet<void>,
  deadlines: Deadlines.Deadlines,
  node: Node
) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const { permits, progress, waiting } = parts
      yield* restore(permits.take(progress))
      waiting.delete(node)
      progress.journal.keepOpen()
      // A fiber starts as interruptible as the one that forks it, which is not, here.
      const agent = Effect.interruptible(runAgent(parts, deadlines, node))
      yield* FiberSet.run(fibers, Effect.ensuring(agent, permits.give))
    })
  )

/** How many nodes are handled between two pauses. */
const nodesBetweenPauses = 1000

/** Nodes that were not started are cancelled. */
const endWaiting = ({ progress, waiting }: Parts) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    let count = 0
    for (const node of waiting) {
      waiting.delete(node)
      progress.end(progress.logOf(node.id, now), cancelledEnding, now)
      if (++count % nodesBetweenPauses === 0) yield* EventLoop.turn
    }
  }).pipe(Effect.uninterruptible)

/** A fiber of its own. */
const runAgent = (parts: Parts, deadlines: Deadlines.Deadlines, node: Node) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime<void>((fiber) =>
      Effect.gen(function* () {
        // For all that the fiber logs; nothing comes behind it.
        yield* FiberRef.update(FiberRef.currentLogAnnotations, HashMap.set<string, unknown>("node", node.id))
        const { progress, warnings } = parts
        const now = yield* Clock.currentTimeMillis
        const log = progress.logOf(node.id, now)
        const deadline = deadlines.begin(fiber, now)
        progress.running++
        const exit = isHostname(node.hostname)
          ? yield* Effect.exit(
              restore(AgentSpan.around(startAgent(parts, node, log), "RemoteRun.agent", { node: node.id }))
            )
          : Exit.succeed(badHostname(node))
        progress.running--
        deadline.drop()
        if (Exit.isFailure(exit) && !Cause.isInterrupted(exit.cause))
          yield* Effect.logError("agent failed", exit.cause)
        const ending = endingOf(exit, deadline.isOver())
        const outcome = progress.end(log, ending, yield* Clock.currentTimeMillis)
        if (outcome !== undefined) yield* warnings.ended(outcome)
      })
    )
  )

const startAgent = ({ agents, progress }: Parts, { hostname }: Node, log: NodeLog) =>
  Effect.suspend(() => {
    log.start(hostname)
    return agents.run({ hostname, classes: progress.head.classes }, log)
  }).pipe(Effect.match({ onSuccess: exitEnding, onFailure: errorEnding }))

/** A sub-relay that says nothing of a node has not run it, as far as anybody knows. */
const runBehind = ({ progress, subRelays }: Parts, relay: Node, nodes: ReadonlyArray<NodeId>) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const { report, output, finish } = SubRelayReports.make(progress, { relay, nodes }, yield* Effect.clock)
      progress.journal.keepOpen()
      const { classes } = progress.head
      const exit = yield* Effect.exit(restore(subRelays.run({ relay, nodes, classes, report, output })))
      const dropped = finish(Exit.isSuccess(exit) ? unreported(relay) : cancelledEnding)
      if (dropped > 0)
        yield* Effect.logWarning("output of a sub-relay was dropped").pipe(
          Effect.annotateLogs({ bytes: dropped })
        )
    })
  ).pipe(Effect.annotateLogs({ relay: relay.id }))

const cancelledEnding: NodeEnding = { code: null, cancelled: true }

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

const endingOf = (exit: Exit.Exit<NodeEnding>, isOverdue: boolean): NodeEnding => {
  if (isOverdue) return { code: null, timeout: true }
  return Exit.match(exit, {
    onSuccess: (ending) => ending,
    onFailure: (cause): NodeEnding =>
      Cause.isInterrupted(cause)
        ? cancelledEnding
        : { code: null, error: { _tag: "AgentError", message: "internal error; the relay's log has it" } }
  })
}
