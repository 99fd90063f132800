/** Agents as processes of this machine: from the command line to the last of their descendants. */
import { randomUUID } from "node:crypto"
import { Cause, Deferred, Effect, Either, Exit, Layer, Option, Schedule, type Scope } from "effect"
import { RelayConfig } from "../../config/RelayConfig.ts"
import type { Settings } from "../../config/Settings.ts"
import * as EventLoop from "../../EventLoop.ts"
import * as AgentChild from "./AgentChild.ts"
import * as AgentFamily from "./AgentFamily.ts"
import {
  type AgentCommand,
  AgentError,
  type AgentExit,
  type AgentOutput,
  AgentProcess,
  type AgentProcessService
} from "./AgentProcess.ts"
import * as AgentProgram from "./AgentProgram.ts"
import * as AgentSpan from "./AgentSpan.ts"
import * as Census from "./Census.ts"
import * as Fifos from "./Fifos.ts"
import * as HeldOutputs from "./HeldOutputs.ts"
import * as Marks from "./Marks.ts"
import * as Reaper from "./Reaper.ts"
import * as Spawner from "./Spawner.ts"
import type * as SpawnFailure from "./SpawnFailure.ts"

/** What of `remote_run.*` the agents depend on. */
export type LocalAgentsOptions = Pick<Settings["remoteRun"], "command" | "useSudo" | "killGrace">

/** What an agent's processes are known by. */
type Identity = Pick<AgentFamily.AgentFamily, "cookie" | "mark">

interface Parts {
  readonly command: string
  readonly useSudo: boolean
  /** The folder that the daemon was started in. */
  readonly startedIn: string
  readonly fifos: Fifos.Fifos
  readonly marks: Marks.Marks | undefined
  readonly census: Census.Census
  readonly spawner: Spawner.Spawner
  readonly reaper: Reaper.Reaper
  readonly heldOutputs: HeldOutputs.HeldOutputs
  readonly newCookie: () => string
}

/** Nothing that runs is left at the end of the scope. */
export const make = (options: LocalAgentsOptions): Effect.Effect<AgentProcessService, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { command, useSudo, killGrace } = options
    // Nobody but root reads the environment of what sudo starts.
    const marks = useSudo && process.geteuid?.() !== 0 ? Marks.make() : undefined
    const startedIn = yield* currentFolder
    const fifos = yield* Fifos.make
    const census = yield* Census.make(marks)
    const spawner = yield* Spawner.make(killGrace)
    const reaper = yield* Reaper.make({ census, killGrace })
    const heldOutputs = yield* HeldOutputs.make
    const mine = randomUUID()
    let count = 0
    const newCookie = () => `${mine}.${++count}`
    const parts: Parts = {
      command,
      useSudo,
      startedIn,
      fifos,
      marks,
      census,
      spawner,
      reaper,
      heldOutputs,
      newCookie
    }
    return { run: (command, output) => run(parts, command, output), unkillable: reaper.unkillable }
  })

/** Agents as processes of this machine, as `remote_run.*` says. At its end no agent runs that could be ended. */
export const layer = Layer.scoped(
  AgentProcess,
  Effect.flatMap(RelayConfig, ({ remoteRun }) => make(remoteRun))
)

/** A current folder that has been removed counts as `/`. */
const currentFolder = Effect.sync(() => process.cwd()).pipe(Effect.catchAllDefect(() => Effect.succeed("/")))

/** An agent that failed may have done so for this reason. */
const noFifos = ({ message }: SpawnFailure.SpawnFailure): Uint8Array =>
  new TextEncoder().encode(
    `rudder-relay: /dev/stdout and /dev/stderr could not be opened by name, since no FIFOs could be made: ${message.trim()}\n`
  )

const run = (parts: Parts, command: AgentCommand, output: AgentOutput) =>
  AgentSpan.around(
    Effect.uninterruptibleMask((restore) =>
      // An agent whose run is interrupted before this point is never started.
      Effect.flatMap(restore(Effect.yieldNow()), () => {
        const line = lineOf(parts, command)
        const identity: Identity = { cookie: parts.newCookie(), mark: parts.marks?.take() }
        return Effect.matchEffect(startChild(parts, line, output, identity, attempts), {
          onFailure: (cause) => {
            if (identity.mark !== undefined) parts.marks?.give(identity.mark)
            return Effect.fail(startFailure(line.program, cause))
          },
          onSuccess: (started) => follow(parts, line, output, identity, started, restore)
        })
      })
    ),
    "AgentProcess.run",
    { hostname: command.hostname }
  )

const lineOf = ({ command, useSudo, startedIn }: Parts, agent: AgentCommand): CommandLine => {
  const program = AgentProgram.find(command, { folder: startedIn, path: process.env.PATH })
  return commandLine({ command: program, useSudo }, agent)
}

interface Started {
  readonly child: AgentChild.AgentChild
  readonly pair: Either.Either<Fifos.FifoPair, SpawnFailure.SpawnFailure>
}

/** How often it is tried to start an agent that has not been for a reason that another try may not meet. */
const attempts = 4

const startChild = (
  parts: Parts,
  line: CommandLine,
  output: AgentOutput,
  { cookie, mark }: Identity,
  left: number
): Effect.Effect<Started, StartFailure> =>
  Effect.flatMap(Effect.either(parts.fifos.take), (pair) => {
    const { fifos, spawner } = parts
    const command = { ...line, environment: { [Census.cookieName]: cookie }, cookie, mark }
    return Effect.matchEffect(AgentChild.start({ spawner, command, fifos, pair, output }), {
      onSuccess: (child) => Effect.succeed({ child, pair }),
      onFailure: (cause) => {
        const another =
          isWorthAnother(cause) && left > 1
            ? startChild(parts, line, output, { cookie, mark }, left - 1)
            : Effect.fail(cause)
        return isMissingFifo(cause) ? Effect.zipRight(fifos.renew, another) : another
      }
    })
  })

/** Waits for the agent's end, interruptibly by `restore`. Interrupted, this ends the agent. */
const follow = (
  parts: Parts,
  line: CommandLine,
  output: AgentOutput,
  identity: Identity,
  { child, pair }: Started,
  restore: Restore
) =>
  Effect.suspend(() => {
    const { census, spawner } = parts
    const family = AgentFamily.make({ ...identity, leader: child.pid, exited: child.exited }, child.process)
    census.add(family)
    if (child.pid !== undefined) spawner.guard(child.pid, identity.cookie)
    return Effect.flatMap(Effect.exit(restore(finished(child))), (exit) =>
      Effect.flatMap(isOver(exit) ? letGo(parts, child, family) : end(parts, child, family), () => {
        if (child.pid !== undefined) spawner.release(child.pid)
        if (Exit.isFailure(exit))
          return Effect.mapError(
            exit,
            ({ message }) => new AgentError({ message: `how ${line.program} ended is not known: ${message}` })
          )
        if (Either.isLeft(pair) && exit.value.code !== 0) output.write("stderr", noFifos(pair.left), () => {})
        return Effect.succeed(exit.value)
      })
    )
  })

/** It has come to its end by itself: what it left behind goes on. */
const letGo = (
  { census, heldOutputs }: Parts,
  child: AgentChild.AgentChild,
  family: AgentFamily.AgentFamily
) => Effect.zipRight(census.leave(family), heldOutputs.hold(child))

/** Ends it, with all that comes from it. */
const end = ({ reaper }: Parts, child: AgentChild.AgentChild, family: AgentFamily.AgentFamily) =>
  Effect.andThen(reaper.end(family), drained(child, stepsAfterEnd)).pipe(
    Effect.ensuring(Effect.sync(child.close))
  )

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Whether the agent has come to an end by itself, also where nobody knows how it ended. */
const isOver = <E>(exit: Exit.Exit<AgentExit, E>): boolean =>
  Exit.match(exit, {
    onSuccess: () => true,
    onFailure: (cause) => !Cause.isInterrupted(cause) && Option.isSome(Cause.failureOption(cause))
  })

interface CommandLine {
  readonly program: string
  readonly parameters: ReadonlyArray<string>
}

/** The command line of an agent. It goes through no shell, and `--` keeps a hostname from being an option. */
export const commandLine = (
  { command, useSudo }: Pick<LocalAgentsOptions, "command" | "useSudo">,
  { hostname, classes }: AgentCommand
): CommandLine => {
  const conditions = classes.length === 0 ? [] : ["-D", classes.join(",")]
  const parameters = ["remote", "run", ...conditions, "--", hostname]
  return useSudo
    ? { program: "sudo", parameters: ["-n", command, ...parameters] }
    : { program: command, parameters }
}

/** What descendants hold open after the agent's exit is waited for this long: twenty steps of 50 ms. */
const stepsAfterExit = 20
const step = "50 millis"

/** The process has exited and its output is read. */
const finished = (child: AgentChild.AgentChild) =>
  Effect.flatMap(Effect.exit(child.exit), (exit) => Effect.zipRight(drained(child, stepsAfterExit), exit))

/** In so many turns of the event loop comes what was there with the exit: one may be half over, one reads, one sees the end. */
const turnsAfterExit = 3

/** Waits for the end of the output, for which there mostly is no need to race with a timer. */
const drained = (child: AgentChild.AgentChild, steps: number, turns = turnsAfterExit): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (child.isDrained()) return Effect.void
    if (turns === 0) return drainedOrPatience(child, steps)
    return Effect.zipRight(EventLoop.turn, drained(child, steps, turns - 1))
  })

/** Time in which the output's reader wants no more does not count. */
const drainedOrPatience = (child: AgentChild.AgentChild, steps: number) =>
  Effect.suspend(() => {
    let left = steps
    const patience = Effect.sync(() => (child.paused() ? left : left--)).pipe(
      Effect.repeat({ until: (left) => left <= 0, schedule: Schedule.spaced(step) })
    )
    // Interruptible also while the agent is being interrupted: a race ends only when its loser has.
    return Effect.raceFirst(
      Effect.interruptible(Deferred.await(child.drained)),
      Effect.interruptible(Effect.asVoid(patience))
    )
  })

/** Steps in which the pipes are read to their end when the agent's processes are dead; unkillable ones may hold them for ever. */
const stepsAfterEnd = 4

/** Programs that tidy /tmp may take FIFOs for leftovers. */
const isMissingFifo = (cause: StartFailure): boolean =>
  cause._tag === "SpawnFailure" && cause.code === "ENOENT" && cause.syscall === "open"

type StartFailure = SpawnFailure.SpawnFailure | SpawnFailure.SpawnerEnded

/** Whether the agent has not been started, and may be with another spawner, or another FIFO. */
const isWorthAnother = (cause: StartFailure): boolean => cause._tag === "SpawnerEnded" || isMissingFifo(cause)

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "no such command",
  ENOTDIR: "no such command",
  EACCES: "it is not executable, or its folder may not be entered",
  EPERM: "it may not be executed",
  E2BIG: "the argument list is too long",
  EAGAIN: "no more processes are allowed",
  ENOMEM: "no memory for another process",
  EMFILE: "too many open files",
  ENFILE: "too many open files"
}

const startFailure = (program: string, cause: StartFailure): AgentError => {
  const reason = cause._tag === "SpawnFailure" ? reasons[cause.code ?? ""] : undefined
  return new AgentError({ message: `${program} could not be started: ${reason ?? cause.message}` })
}
