/**
 * One agent run: a local process that runs the agent of one node and prints its output.
 *
 * The live Layer starts `[sudo -n] <command> remote run [-D class,…] -- <hostname>` in a process group of its
 * own; a test Layer scripts the agents.
 */

import { type ChildProcess, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { closeSync } from "node:fs"
import { Socket } from "node:net"
import type { Readable } from "node:stream"
import { Context, Deferred, Duration, Effect, FiberId, Layer, Schema } from "effect"
import { RelayConfig, type Settings } from "../RelayConfig.ts"
import * as OutputPipes from "./agent/OutputPipes.ts"
import * as ProcessTable from "./agent/ProcessTable.ts"
import * as Termination from "./agent/Termination.ts"

/** The agent could not be started: no such command, not executable, argument list too long, no more processes. */
export class AgentError extends Schema.TaggedError<AgentError>()("AgentError", { message: Schema.String }) {}

/** How the local process ended. `code` is null when a signal ended it. */
export interface AgentExit {
  readonly code: number | null
  readonly signal: string | null
}

export interface AgentCommand {
  /** Checked by the caller against the contract's pattern; never given to a shell. */
  readonly hostname: string
  /** Checked by the caller. Empty: no `-D`. */
  readonly classes: ReadonlyArray<string>
}

/**
 * Where output goes, called synchronously with the bytes as they were read, in order, stdout and stderr apart.
 * The buffer is the callee's only until it returns. Returning false asks to read no more until `resume` is called.
 */
export interface AgentOutput {
  readonly write: (stream: "stdout" | "stderr", bytes: Uint8Array, resume: () => void) => boolean
}

export interface AgentProcessService {
  /**
   * Runs one agent from start to end. Succeeds when the process has exited and its output was read to the end
   * (what descendants still hold open is waited for 1 s more, then let go). Interruption ends the process and all
   * its descendants: SIGTERM, after `remote_run.kill_grace` SIGKILL; it returns when they are gone, or, where the
   * daemon may not signal them, when the pipes are closed: such a process is counted in `unkillable` until it is gone.
   */
  readonly run: (command: AgentCommand, output: AgentOutput) => Effect.Effect<AgentExit, AgentError>
  /** Processes that should be gone and could not be signalled. */
  readonly unkillable: Effect.Effect<number>
}

export class AgentProcess extends Context.Tag("rudder-relay/AgentProcess")<
  AgentProcess,
  AgentProcessService
>() {
  static readonly layer = Layer.scoped(
    AgentProcess,
    Effect.suspend(() => make)
  )
}

/** Output that descendants hold open after the agent's own process has exited is waited for this long. */
const lastOutput = Duration.seconds(1)

/** The name of the variable by which an agent's processes are found again. */
const variableName = "RUDDER_RELAY_AGENT"

interface Spawned {
  readonly pid: number
  readonly exited: Deferred.Deferred<AgentExit>
  readonly streams: ReadonlyArray<Readable>
}

/** Listens at once: a process can be over before the fiber that started it goes on. */
const exitOf = (child: ChildProcess): Deferred.Deferred<AgentExit> => {
  const exited = Deferred.unsafeMake<AgentExit>(FiberId.none)
  child.once("exit", (code, signal) => Deferred.unsafeDone(exited, Effect.succeed({ code, signal })))
  return exited
}

/** A turn of the event loop: a start blocks it for a millisecond or more, so others are served between two of them. */
const eventLoopTurn = Effect.async<void>((resume) => {
  const turn = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(turn))
})

/** The command line: never through a shell, and nothing of it can be taken for an option but what is one. */
const commandLine = ({ command, useSudo }: Settings["remoteRun"], { hostname, classes }: AgentCommand) => {
  const agent = [
    command,
    "remote",
    "run",
    ...(classes.length === 0 ? [] : ["-D", classes.join(",")]),
    "--",
    hostname
  ]
  const [program = "", ...args] = useSudo ? ["sudo", "-n", ...agent] : agent
  return { program, args }
}

const startFailure = (program: string, cause: unknown) => {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined
  const reason =
    code === "ENOENT" ? "no such command" : code === "EACCES" ? "may not be executed" : String(cause)
  return new AgentError({ message: `${program}: ${reason}` })
}

const make = Effect.gen(function* () {
  const { remoteRun } = yield* RelayConfig
  const pipes = yield* OutputPipes.make
  const termination = yield* Termination.make(remoteRun.killGrace)
  const gate = yield* Effect.makeSemaphore(1)

  const start = (command: AgentCommand, variable: string) =>
    Effect.gen(function* () {
      yield* eventLoopTurn
      const ends = [yield* pipes.take, yield* pipes.take]
      const { program, args } = commandLine(remoteRun, command)
      const child = yield* Effect.try({
        try: () =>
          spawn(program, args, {
            detached: true,
            stdio: ["ignore", ends[0]?.write ?? "pipe", ends[1]?.write ?? "pipe"],
            env: { ...process.env, [variableName]: variable },
            cwd: "/"
          }),
        catch: (cause) => startFailure(program, cause)
      }).pipe(
        Effect.tapError(() => Effect.sync(() => closeAll(ends.map((end) => end?.read)))),
        Effect.ensuring(Effect.sync(() => closeAll(ends.map((end) => end?.write))))
      )
      const exited = exitOf(child)
      const streams = [readable(ends[0], child.stdout), readable(ends[1], child.stderr)]
      const { pid } = child
      if (pid !== undefined) return { pid, exited, streams }
      for (const stream of streams) stream.destroy()
      const cause = yield* Effect.async<unknown>(
        (resume) => void child.once("error", (error) => resume(Effect.succeed(error)))
      )
      return yield* startFailure(program, cause)
    }).pipe(Effect.uninterruptible, gate.withPermits(1))

  const endWhatIsLeft = ({ pid }: Spawned, variable: string, heldOpen: boolean) =>
    heldOpen || ProcessTable.groupExists(pid)
      ? termination.terminateInBackground({ leader: pid, variable: `${variableName}=${variable}` })
      : Effect.void

  const run = (command: AgentCommand, output: AgentOutput) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const variable = randomUUID()
        const spawned = yield* restore(start(command, variable))
        const ended = watch(spawned.streams, output)
        const exit = yield* restore(Deferred.await(spawned.exited)).pipe(
          Effect.onInterrupt(() =>
            termination
              .terminate({ leader: spawned.pid, variable: `${variableName}=${variable}` })
              .pipe(Effect.ensuring(Effect.sync(() => close(spawned.streams))))
          )
        )
        const inTime = yield* Effect.timeoutOption(ended, lastOutput)
        close(spawned.streams)
        yield* endWhatIsLeft(spawned, variable, inTime._tag === "None")
        return exit
      })
    ).pipe(Effect.withSpan("AgentProcess.run", { attributes: { hostname: command.hostname } }))

  return AgentProcess.of({ run, unkillable: termination.unkillable })
})

const closeAll = (descriptors: ReadonlyArray<number | undefined>): void => {
  for (const descriptor of descriptors) if (descriptor !== undefined) closeSync(descriptor)
}

const readable = (pipe: OutputPipes.OutputPipe | undefined, stream: Readable | null): Readable => {
  if (pipe !== undefined) return new Socket({ fd: pipe.read, readable: true, writable: false })
  if (stream !== null) return stream
  // Unreachable: without a pipe of ours, node was asked for one.
  throw new Error("no stream for the agent's output")
}

const close = (streams: ReadonlyArray<Readable>): void => {
  for (const stream of streams) stream.destroy()
}

/** Hands on what is read; succeeds when both streams are at their end. */
const watch = (streams: ReadonlyArray<Readable>, output: AgentOutput): Effect.Effect<void> => {
  const names = ["stdout", "stderr"] as const
  const ends = streams.map((stream, index) => {
    const name = names[index] ?? "stderr"
    stream.on("data", (bytes: Buffer) => {
      if (!output.write(name, bytes, () => stream.resume())) stream.pause()
    })
    return new Promise<void>((resolve) => {
      stream.once("close", resolve)
      // A pipe that breaks is a pipe that ends.
      stream.once("error", () => stream.destroy())
      stream.once("end", () => stream.destroy())
    })
  })
  return Effect.promise(() => Promise.all(ends)).pipe(Effect.asVoid)
}
