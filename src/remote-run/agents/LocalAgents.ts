/** Agents as processes of this machine: from the command line to the last of their descendants. */
import { randomUUID } from "node:crypto"
import { Cause, Effect, Either, Exit, Layer, Option, Schedule, type Scope } from "effect"
import { RelayConfig } from "../../config/RelayConfig.ts"
import type { Settings } from "../../config/Settings.ts"
import * as Span from "../../Span.ts"
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
export type LocalAgentsOptions = Pick<Settings["remoteRun"], "enabled" | "command" | "useSudo" | "killGrace">

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
const make = (options: LocalAgentsOptions): Effect.Effect<AgentProcessService, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { enabled, command, useSudo, killGrace } = options
    // Nobody but root reads the environment of what sudo starts.
    const marks = useSudo && process.geteuid?.() !== 0 ? Marks.make() : undefined
    const startedIn = yield* currentFolder
    const fifos = yield* Fifos.make
    const census = yield* Census.make(marks)
    const spawner = yield* Spawner.make(killGrace, enabled)
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

/** What `layer` has. */
export const configured = Effect.flatMap(RelayConfig, ({ remoteRun }) => make(remoteRun))

/** Agents as processes of this machine, as `remote_run.*` says. At its end no agent runs that could be ended. */
export const layer = Layer.scoped(AgentProcess, configured)

/** A current folder that has been removed counts as `/`. */
const currentFolder = Effect.sync(() => process.cwd()).pipe(Effect.catchAllDefect(() => Effect.succeed("/")))

/** An agent that failed may have done so for this reason. */
const noFifos = ({ message }: SpawnFailure.SpawnFailure): Uint8Array =>
  new TextEncoder().encode(
    `rudder-relay: /dev/stdout and /dev/stderr could not be opened by name, since no FIFOs could be made: ${message.trim()}\n`
  )

const inSpan = Span.around("AgentProcess.run")

const run = (parts: Parts, command: AgentCommand, output: AgentOutput) =>
  inSpan(
    Effect.uninterruptibleMask((restore) =>
      // An agent whose run is interrupted before this point is never started.
      Effect.flatMap(restore(Effect.yieldNow()), () => {
        const identity: Identity = { cookie: parts.newCookie(), mark: parts.marks?.take() }
        return attempt({ parts, line: lineOf(parts, command), output, identity, restore }, attempts)
      })
    ),
    () => ({ hostname: command.hostname })
  )

const lineOf = ({ command, useSudo, startedIn }: Parts, agent: AgentCommand): CommandLine => {
  const program = AgentProgram.find(command, { folder: startedIn, path: process.env.PATH })
  return commandLine({ command: program, useSudo }, agent)
}

/** What one agent is run with. */
interface Order {
  readonly parts: Parts
  readonly line: CommandLine
  readonly output: AgentOutput
  readonly identity: Identity
  /** Makes waiting interruptible. */
  readonly restore: Restore
}

/** How often it is tried to start an agent that has not been for a reason that another try may not meet. */
const attempts = 4

/** Starts it, and waits for its end, interruptibly by `restore`. Interrupted, this ends the agent. */
const attempt = (order: Order, left: number): Effect.Effect<AgentExit, AgentError> =>
  Effect.flatMap(Effect.either(order.parts.fifos.take), (pair) => {
    const { parts, line, identity, output, restore } = order
    const { spawner, fifos } = parts
    let family: AgentFamily.AgentFamily | undefined
    const onStart = (child: AgentChild.AgentChild) => {
      family = familyOf(parts, identity, child)
    }
    const { program, parameters } = line
    const { cookie, mark } = identity
    const command = { program, parameters, cookie, mark }
    const child = new AgentChild.AgentChild({ spawner, command, fifos, pair, output, onStart })
    return Effect.flatMap(Effect.exit(restore(finished(child))), (exit) => {
      const known = Effect.mapError(exit, (failure) => errorOf(line, failure))
      if (Exit.isFailure(exit) && Cause.isInterrupted(exit.cause))
        return Effect.zipRight(
          Effect.flatMap(child.unwanted, () =>
            family === undefined ? forget(order) : end(parts, child, family)
          ),
          known
        )
      if (family === undefined) return again(order, exit, left) ?? Effect.zipRight(forget(order), known)
      if (Either.isLeft(pair) && Exit.isSuccess(exit) && exit.value.code !== 0)
        output.write("stderr", noFifos(pair.left), () => {})
      return Effect.zipRight(letGo(parts, child, family), known)
    })
  })

/** It has been started. */
const familyOf = (
  { census, spawner }: Parts,
  { cookie, mark }: Identity,
  child: AgentChild.AgentChild
): AgentFamily.AgentFamily => {
  const { pid } = child
  const family = AgentFamily.make({ cookie, mark, leader: pid, exited: () => child.exited() })
  census.add(family)
  if (pid !== undefined) spawner.guard(pid, cookie)
  return family
}

/** It has not been started, and will not be. */
const forget = ({ parts, identity }: Order) =>
  Effect.sync(() => {
    if (identity.mark !== undefined) parts.marks?.give(identity.mark)
  })

/** Another attempt to start it, where that may do. */
const again = (
  order: Order,
  exit: Exit.Exit<AgentExit, AgentChild.AgentFailure>,
  left: number
): Effect.Effect<AgentExit, AgentError> | undefined => {
  const failure = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
  if (failure === undefined || left <= 1) return undefined
  const another = Effect.suspend(() => attempt(order, left - 1))
  if (isMissingFifo(failure)) return Effect.zipRight(order.parts.fifos.renew, another)
  return failure._tag === "SpawnerEnded" ? another : undefined
}

/** It has come to its end by itself: what it left behind goes on. */
const letGo = (
  { census, heldOutputs, spawner }: Parts,
  child: AgentChild.AgentChild,
  family: AgentFamily.AgentFamily
) =>
  Effect.suspend(() => {
    census.leave(family)
    if (child.pid !== undefined) spawner.release(child.pid)
    return child.isDrained ? Effect.void : heldOutputs.hold(child)
  })

/** Ends it, with all that comes from it. */
const end = ({ reaper, spawner }: Parts, child: AgentChild.AgentChild, family: AgentFamily.AgentFamily) =>
  Effect.andThen(reaper.end(family), drained(child, stepsAfterEnd)).pipe(
    Effect.ensuring(
      Effect.sync(() => {
        child.close()
        if (child.pid !== undefined) spawner.release(child.pid)
      })
    )
  )

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

interface CommandLine {
  readonly program: string
  readonly parameters: ReadonlyArray<string>
}

/** The command line of an agent. It goes through no shell, and `--` keeps a hostname from being an option. */
const commandLine = (
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
const finished = (child: AgentChild.AgentChild): Effect.Effect<AgentExit, AgentChild.AgentFailure> =>
  Effect.flatMap(Effect.exit(child.exit), (exit) =>
    child.isDrained ? exit : Effect.zipRight(drained(child, stepsAfterExit), exit)
  )

/** Time in which the output's reader wants no more does not count. */
const drained = (child: AgentChild.AgentChild, steps: number) =>
  Effect.suspend(() => {
    if (child.isDrained) return Effect.void
    let left = steps
    const patience = Effect.sync(() => (child.isPaused ? left : left--)).pipe(
      Effect.repeat({ until: (left) => left <= 0, schedule: Schedule.spaced(step) })
    )
    // Interruptible also while the agent is being interrupted: a race ends only when its loser has.
    return Effect.raceFirst(
      Effect.interruptible(child.drained),
      Effect.interruptible(Effect.asVoid(patience))
    )
  })

/** Steps in which the pipes are read to their end when the agent's processes are dead; unkillable ones may hold them for ever. */
const stepsAfterEnd = 4

/** Programs that tidy /tmp may take FIFOs for leftovers. */
const isMissingFifo = (failure: AgentChild.AgentFailure): boolean =>
  failure._tag === "SpawnFailure" && failure.code === "ENOENT" && failure.syscall === "open"

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

const errorOf = ({ program }: CommandLine, failure: AgentChild.AgentFailure): AgentError => {
  if (failure._tag === "ExitUnknown")
    return new AgentError({ message: `how ${program} ended is not known: ${failure.message}` })
  const reason = failure._tag === "SpawnFailure" ? reasons[failure.code ?? ""] : undefined
  return new AgentError({ message: `${program} could not be started: ${reason ?? failure.message}` })
}
