/** The end of an agent's processes: SIGTERM, and after a grace SIGKILL, for all of them, until none is left. */
import { Duration, Effect, FiberSet, Option, Schedule, type Scope } from "effect"
import * as ProcessTable from "./ProcessTable.ts"

/** What is needed to find an agent's processes. */
export interface AgentProcesses {
  /** The first process: leads their group and session. */
  readonly leader: number
  /** `NAME=value` in the environment of all that it starts, but for those under sudo. */
  readonly variable: string
}

export interface Termination {
  /** Returns when none is left, or when those that are left can't be signalled; they are counted until they are gone. */
  readonly terminate: (processes: AgentProcesses) => Effect.Effect<void>
  /** The same, without waiting for it. */
  readonly terminateInBackground: (processes: AgentProcesses) => Effect.Effect<void>
  readonly unkillable: Effect.Effect<number>
}

/** How often it is looked whether processes are gone. */
const pollInterval = Duration.millis(20)
/** A process that SIGKILL was sent to is gone in no time, unless the kernel holds it. */
const killWait = Duration.seconds(2)
const unkillableInterval = Duration.seconds(1)

export const make = (grace: Duration.Duration): Effect.Effect<Termination, never, Scope.Scope> =>
  Effect.gen(function* () {
    const left: ProcessTable.Members = new Map()
    const background = yield* FiberSet.make<void>()

    const gone = (members: ProcessTable.Members) =>
      Effect.sync(() => ProcessTable.alive(members).length === 0).pipe(
        Effect.repeat({ until: (done) => done, schedule: Schedule.spaced(pollInterval) })
      )

    /** Signals all, and those that were born meanwhile. */
    const signalAll = (
      members: ProcessTable.Members,
      processes: AgentProcesses,
      name: "SIGTERM" | "SIGKILL"
    ) =>
      Effect.sync(() => {
        ProcessTable.extend(members, processes.leader, processes.variable)
        for (const pid of ProcessTable.alive(members)) ProcessTable.signal(pid, name)
      })

    const terminate = (processes: AgentProcesses) =>
      Effect.gen(function* () {
        const members: ProcessTable.Members = new Map()
        yield* signalAll(members, processes, "SIGTERM")
        yield* Effect.timeoutOption(gone(members), grace)
        yield* signalAll(members, processes, "SIGKILL").pipe(
          Effect.andThen(Effect.timeoutOption(gone(members), Duration.millis(100))),
          // What a dying process had just started is found by looking again.
          Effect.andThen(
            Effect.sync(() => ProcessTable.extend(members, processes.leader, processes.variable))
          ),
          Effect.andThen(Effect.sync(() => ProcessTable.alive(members).length === 0)),
          Effect.repeat({ until: (done) => done }),
          Effect.timeoutOption(killWait),
          Effect.tap((done) => (Option.isNone(done) ? noteLeft(members) : Effect.void))
        )
      }).pipe(Effect.uninterruptible, Effect.withSpan("AgentProcess.terminate"))

    const noteLeft = (members: ProcessTable.Members) =>
      Effect.gen(function* () {
        const pids = ProcessTable.alive(members)
        for (const pid of pids) left.set(pid, members.get(pid) ?? 0)
        yield* Effect.logError("processes of an agent can't be ended").pipe(
          Effect.annotateLogs({ pids: pids.join(" ") })
        )
      })

    yield* Effect.sync(() => {
      const living = new Set(ProcessTable.alive(left))
      for (const pid of left.keys()) if (!living.has(pid)) left.delete(pid)
    }).pipe(Effect.repeat(Schedule.spaced(unkillableInterval)), Effect.forkScoped)

    // Registered last, so run first: what is being ended is gone before this layer is.
    yield* Effect.addFinalizer(() => FiberSet.awaitEmpty(background))
    return {
      terminate,
      terminateInBackground: (processes) => Effect.asVoid(FiberSet.run(background, terminate(processes))),
      unkillable: Effect.sync(() => ProcessTable.alive(left).length)
    }
  })
