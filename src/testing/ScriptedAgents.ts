/** Agents that follow a script under the Effect Clock, so that a test moves them with `TestClock`. */
import { Context, Effect, Exit, Layer } from "effect"
import type { DurationInput } from "effect/Duration"
import {
  type AgentCommand,
  AgentError,
  type AgentExit,
  type AgentOutput,
  AgentProcess,
  type AgentProcessService
} from "../remote-run/agents/AgentProcess.ts"

/** One write of an agent, `after` the one before it (default: at once). Text is written as it is: bring the newline. */
export interface ScriptedWrite {
  readonly after?: DurationInput
  readonly stream?: "stdout" | "stderr"
  readonly bytes: string | Uint8Array
}

/** What one agent does: it starts (or not), writes, and ends (or hangs). */
export interface AgentScript {
  /** Could not be started, for this reason. Nothing else happens then. */
  readonly unstartable?: string
  readonly writes?: ReadonlyArray<ScriptedWrite>
  /** How long after the last write it ends; default at once. */
  readonly lasts?: DurationInput
  /** Default: code 0. `hang`: it never ends by itself. */
  readonly exit?: number | AgentExit | "hang"
  /** How long it takes to be gone when it is interrupted; default at once. */
  readonly dying?: DurationInput
}

/** What happened to the agents so far. */
export interface ScriptedAgentsService {
  /** Every start so far, in order, those that failed to start included. */
  readonly started: Effect.Effect<ReadonlyArray<AgentCommand>>
  /** Host names of the agents that run now. */
  readonly running: Effect.Effect<ReadonlyArray<string>>
  /** The most that ever ran at once. */
  readonly mostAtOnce: Effect.Effect<number>
  /** Host names of those that were interrupted while they ran, in the order in which they were gone. */
  readonly interrupted: Effect.Effect<ReadonlyArray<string>>
  /** Host names of those that came to their end by themselves, in that order. */
  readonly ended: Effect.Effect<ReadonlyArray<string>>
  /** What `AgentProcess.unkillable` answers from now on. */
  readonly setUnkillable: (count: number) => Effect.Effect<void>
}

/** The record that a test looks at. */
export class ScriptedAgents extends Context.Tag("rudder-relay/testing/ScriptedAgents")<
  ScriptedAgents,
  ScriptedAgentsService
>() {}

/**
 * `AgentProcess` by script, and its record. The script of each start is asked for when it starts.
 *
 * @example
 * const agents = ScriptedAgents.layer(({ hostname }) =>
 *   hostname === "web.example.com"
 *     ? { writes: [{ bytes: "updating\n" }], lasts: "3 seconds" }
 *     : { exit: 1, writes: [{ stream: "stderr", bytes: "no policy\n" }] }
 * )
 */
export const layer = (
  script: (command: AgentCommand) => AgentScript
): Layer.Layer<AgentProcess | ScriptedAgents> => Layer.unwrapEffect(Effect.sync(() => make(script)))

const make = (script: (command: AgentCommand) => AgentScript) => {
  const started: Array<AgentCommand> = []
  const running = new Set<AgentCommand>()
  const interrupted: Array<string> = []
  const ended: Array<string> = []
  let mostAtOnce = 0
  let unkillable = 0

  const run: AgentProcessService["run"] = (command, output) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        started.push(command)
        const { unstartable, dying = 0, ...rest } = script(command)
        if (unstartable !== undefined) return yield* new AgentError({ message: unstartable })
        running.add(command)
        mostAtOnce = Math.max(mostAtOnce, running.size)
        const exit = yield* Effect.exit(restore(perform(rest, output)))
        if (Exit.isFailure(exit)) yield* Effect.sleep(dying)
        running.delete(command)
        const record = Exit.isFailure(exit) ? interrupted : ended
        record.push(command.hostname)
        return yield* exit
      })
    )

  const record: ScriptedAgentsService = {
    started: Effect.sync(() => [...started]),
    running: Effect.sync(() => Array.from(running, (command) => command.hostname)),
    mostAtOnce: Effect.sync(() => mostAtOnce),
    interrupted: Effect.sync(() => [...interrupted]),
    ended: Effect.sync(() => [...ended]),
    setUnkillable: (count) =>
      Effect.sync(() => {
        unkillable = count
      })
  }
  return Layer.merge(
    Layer.succeed(AgentProcess, { run, unkillable: Effect.sync(() => unkillable) }),
    Layer.succeed(ScriptedAgents, record)
  )
}

const perform = (script: AgentScript, output: AgentOutput) =>
  Effect.gen(function* () {
    for (const { after, stream = "stdout", bytes } of script.writes ?? []) {
      if (after !== undefined) yield* Effect.sleep(after)
      yield* write(output, stream, typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes)
    }
    if (script.lasts !== undefined) yield* Effect.sleep(script.lasts)
    const exit = script.exit ?? 0
    if (exit === "hang") return yield* Effect.never
    return typeof exit === "number" ? { code: exit, signal: null } : exit
  })

/** Goes on when the reader wants more, as a process does that writes to a pipe. */
const write = (output: AgentOutput, stream: "stdout" | "stderr", bytes: Uint8Array) =>
  Effect.async<void>((resume) => {
    const go = () => resume(Effect.void)
    if (output.write(stream, bytes, go)) go()
  })
