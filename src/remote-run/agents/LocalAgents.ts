/** Agents as processes of this machine: from the command line to the last of their descendants. */
import { randomUUID } from "node:crypto"
import { Cause, Deferred, Effect, Either, Exit, Layer, Option, Schedule, type Scope } from "effect"
import { RelayConfig } from "../../config/RelayConfig.ts"
import type { Settings } from "../../config/Settings.ts"
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

/** Nothing that runs is left at the end of the scope. */
export const make = (options: LocalAgentsOptions): Effect.Effect<AgentProcessService, never, Scope.Scope> =>
  Effect.gen(function* () {
    const startedIn = yield* currentFolder
    const fifos = yield* Fifos.make
    // Nobody but root reads the environment of what sudo starts.
    const marks = options.useSudo && process.geteuid?.() !== 0 ? Marks.make() : undefined
    const census = yield* Census.make(marks)
    const spawner = yield* Spawner.make(options.killGrace)
    const reaper = yield* Reaper.make({ census, killGrace: options.killGrace })
    const heldOutputs = yield* HeldOutputs.make
    const mine = randomUUID()
    let count = 0

    const lineOf = (command: AgentCommand) => {
      const program = AgentProgram.find(options.command, { folder: startedIn, path: process.env.PATH })
      return commandLine({ command: program, useSudo: options.useSudo }, command)
    }

    const startChild = (line: CommandLine, output: AgentOutput, { cookie, mark }: Identity) =>
      Effect.gen(function* () {
        const pair = yield* Effect.either(fifos.take)
        const environment = { [Census.cookieName]: cookie }
        const command = { ...line, environment, cookie, mark }
        const child = yield* AgentChild.start({ spawner, command, fifos: pair, output })
        return { child, withoutFifos: Either.getLeft(pair) }
      }).pipe(
        Effect.tapError((cause) => (isMissingFifo(cause) ? fifos.renew : Effect.void)),
        Effect.retry({ times: 3, while: isWorthAnother }),
        Effect.onError(() => Effect.sync(() => mark !== undefined && marks?.give(mark)))
      )

    /** Waits for the agent's end, interruptibly by `restore`. Interrupted, this ends the agent. */
    const follow = (child: AgentChild.AgentChild, identity: Identity, restore: Restore) =>
      Effect.gen(function* () {
        const family = AgentFamily.make({ ...identity, leader: child.pid, exited: child.exited })
        census.add(family)
        if (child.pid !== undefined) yield* spawner.guard(child.pid, identity.cookie)
        return yield* restore(finished(child)).pipe(
          Effect.onExit((exit) => {
            if (isOver(exit)) return Effect.andThen(census.leave(family), heldOutputs.hold(child))
            const end = Effect.andThen(reaper.end(family), drained(child, stepsAfterEnd))
            return Effect.ensuring(end, Effect.sync(child.close))
          })
        )
      }).pipe(Effect.scoped)

    const run: AgentProcessService["run"] = Effect.fn("AgentProcess.run")((command, output) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          yield* Effect.annotateCurrentSpan("hostname", command.hostname)
          // An agent whose run is interrupted before this point is never started.
          yield* restore(Effect.yieldNow())
          const line = lineOf(command)
          const identity: Identity = { cookie: `${mine}.${++count}`, mark: marks?.take() }
          const { child, withoutFifos } = yield* Effect.mapError(
            startChild(line, output, identity),
            (cause) => startFailure(line.program, cause)
          )
          const exit = yield* follow(child, identity, restore).pipe(
            Effect.mapError(
              ({ message }) =>
                new AgentError({ message: `how ${line.program} ended is not known: ${message}` })
            )
          )
          if (Option.isSome(withoutFifos) && exit.code !== 0)
            output.write("stderr", noFifos(withoutFifos.value), () => {})
          return exit
        })
      )
    )

    return { run, unkillable: reaper.unkillable }
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
  Effect.exit(child.exit).pipe(Effect.zipLeft(drained(child, stepsAfterExit)), Effect.flatten)

/** Waits for the end of the output; time in which its reader wants no more does not count. */
const drained = (child: AgentChild.AgentChild, steps: number) =>
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
