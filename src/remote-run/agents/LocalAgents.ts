/** Agents as processes of this machine: from the command line to the last of their descendants. */
import { randomUUID } from "node:crypto"
import { Deferred, Effect, Exit, Layer, Schedule, type Scope } from "effect"
import { RelayConfig, type Settings } from "../../config/RelayConfig.ts"
import * as AgentChild from "./AgentChild.ts"
import * as AgentFamily from "./AgentFamily.ts"
import {
  type AgentCommand,
  AgentError,
  type AgentOutput,
  AgentProcess,
  type AgentProcessService
} from "./AgentProcess.ts"
import * as Census from "./Census.ts"
import * as Fifos from "./Fifos.ts"
import * as Marks from "./Marks.ts"
import * as Reaper from "./Reaper.ts"
import * as Spawner from "./Spawner.ts"
import type { SpawnFailure } from "./SpawnFailure.ts"

export type LocalAgentsOptions = Pick<Settings["remoteRun"], "command" | "useSudo" | "killGrace">

/** What an agent's processes are known by. */
type Identity = Pick<AgentFamily.AgentFamily, "cookie" | "mark">

/** Nothing of it is left at the end of the scope. */
export const make = (options: LocalAgentsOptions): Effect.Effect<AgentProcessService, never, Scope.Scope> =>
  Effect.gen(function* () {
    const fifos = yield* Fifos.make
    // Nobody but root reads the environment of what sudo starts.
    const marks = options.useSudo && process.geteuid?.() !== 0 ? Marks.make() : undefined
    const census = Census.make(marks)
    const reaper = yield* Reaper.make({ census, killGrace: options.killGrace })
    const spawner = yield* Spawner.make
    const mine = randomUUID()
    let count = 0

    const startChild = (command: AgentCommand, output: AgentOutput, { cookie, mark }: Identity) =>
      Effect.gen(function* () {
        const pair = yield* fifos.take
        const environment = { [Census.cookieName]: cookie }
        return yield* AgentChild.start({
          spawner,
          command: { ...commandLine(options, command), environment, mark },
          fifos: pair,
          output
        })
      }).pipe(
        Effect.tapError((cause) => (isMissingFifo(cause) ? fifos.renew : Effect.void)),
        Effect.retry({ times: 1, while: isMissingFifo }),
        Effect.onError(() => Effect.sync(() => mark !== undefined && marks?.give(mark)))
      )

    const run: AgentProcessService["run"] = (command, output) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          // Interrupted before it is started, it never is.
          yield* restore(Effect.yieldNow())
          const identity: Identity = { cookie: `${mine}.${++count}`, mark: marks?.take() }
          const child = yield* startChild(command, output, identity)
          const family = AgentFamily.make({ ...identity, leader: child.pid, exited: child.exited })
          census.add(family)
          return yield* restore(finished(child)).pipe(
            Effect.onExit((exit) =>
              Exit.isSuccess(exit)
                ? reaper.endWhatIsLeft(family)
                : Effect.andThen(reaper.end(family), drained(child, stepsAfterEnd))
            ),
            Effect.ensuring(Effect.sync(child.close))
          )
        })
      ).pipe(
        Effect.mapError((cause) => startFailure(commandLine(options, command).program, cause)),
        Effect.withSpan("AgentProcess.run", { attributes: { hostname: command.hostname } })
      )

    return { run, unkillable: reaper.unkillable }
  })

/** Processes of this machine, as `remote_run.*` says. At its end none of theirs is left that can be ended. */
export const layer = Layer.scoped(
  AgentProcess,
  Effect.flatMap(RelayConfig, ({ remoteRun }) => make(remoteRun))
)

/** Never through a shell, and nothing in it is an option but what is meant as one. */
export const commandLine = (
  { command, useSudo }: Pick<LocalAgentsOptions, "command" | "useSudo">,
  { hostname, classes }: AgentCommand
): { readonly program: string; readonly parameters: ReadonlyArray<string> } => {
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
  Effect.zipLeft(Deferred.await(child.exit), drained(child, stepsAfterExit))

/** Waits for the end of the output; time in which its reader wants no more does not count. */
const drained = (child: AgentChild.AgentChild, steps: number) =>
  Effect.suspend(() => {
    let left = steps
    const patience = Effect.sync(() => (child.paused() ? left : left--)).pipe(
      Effect.repeat({ until: (left) => left <= 0, schedule: Schedule.spaced(step) })
    )
    // Interruptible, since the race ends when the one that lost it does; also where the agent is being interrupted.
    return Effect.raceFirst(
      Effect.interruptible(Deferred.await(child.drained)),
      Effect.interruptible(Effect.asVoid(patience))
    )
  })

/** What is still in the pipes when all are dead is read in this many steps; the unkillable may hold them for ever. */
const stepsAfterEnd = 4

/** Programs that tidy /tmp may take FIFOs for leftovers. */
const isMissingFifo = ({ code, syscall }: SpawnFailure): boolean => code === "ENOENT" && syscall === "open"

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

const startFailure = (program: string, { code, message }: SpawnFailure): AgentError =>
  new AgentError({ message: `${program} could not be started: ${reasons[code ?? ""] ?? message}` })
