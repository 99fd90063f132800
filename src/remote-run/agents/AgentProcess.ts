/**
 * One agent run: a local process that runs the agent of one node and prints its output.
 *
 * `LocalAgents.layer` starts `[sudo -n] <command> remote run [-D class,…] -- <hostname>` in a process group of its
 * own; a test Layer scripts the agents.
 */
import { Context, type Effect, Schema } from "effect"

/** The agent could not be started: no such command, not executable, argument list too long, no more processes. */
export class AgentError extends Schema.TaggedError<AgentError>()("AgentError", { message: Schema.String }) {}

/** How the local process ended. `code` is null when a signal ended it. */
export interface AgentExit {
  readonly code: number | null
  readonly signal: string | null
}

/** What an agent is run with. */
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

/** Runs agents. */
export interface AgentProcessService {
  /**
   * Runs one agent from start to end. Succeeds when the process has exited and its output was read to the end
   * (what descendants still hold open is waited for 1 s more, then let go). Interruption ends the process and all
   * its descendants: SIGTERM, after `remote_run.kill_grace` SIGKILL; it returns when they are gone, or, where the
   * daemon may not signal them, when the pipes are closed: such a process is counted in `unkillable` until it is gone.
   * Until it returns, `output` is written to.
   */
  readonly run: (command: AgentCommand, output: AgentOutput) => Effect.Effect<AgentExit, AgentError>
  /** Processes that should be gone and could not be signalled, or (after SIGKILL) hang in the kernel. */
  readonly unkillable: Effect.Effect<number>
}

/** The port: who runs agents. `LocalAgents.layer` is the live one. */
export class AgentProcess extends Context.Tag("rudder-relay/AgentProcess")<
  AgentProcess,
  AgentProcessService
>() {}
