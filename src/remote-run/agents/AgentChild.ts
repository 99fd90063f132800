/** The local process of an agent, and what it prints. A class, since agents are many, and short. */
import { spawn } from "node:child_process"
import { Effect, Either } from "effect"
import * as AgentEnvironment from "./AgentEnvironment.ts"
import * as AgentPipes from "./AgentPipes.ts"
import type { AgentExit, AgentOutput } from "./AgentProcess.ts"
import { cookieName } from "./Census.ts"
import type { FifoPair } from "./Fifo.ts"
import type * as Fifos from "./Fifos.ts"
import type { Spawner } from "./Spawner.ts"
import type { SpawnEvents } from "./SpawnerConnection.ts"
import type { SpawnRequest } from "./SpawnerProtocol.ts"
import * as SpawnFailure from "./SpawnFailure.ts"

export interface AgentChildOptions {
  readonly spawner: Spawner
  readonly command: Pick<SpawnRequest, "program" | "parameters" | "cookie" | "mark">
  readonly fifos: Pick<Fifos.Fifos, "give" | "remove">
  /** Left: why there are none. Then the agent gets ordinary pipes of node, which can't be opened by name. */
  readonly pair: Either.Either<FifoPair, SpawnFailure.SpawnFailure>
  readonly output: AgentOutput
  /** Told as soon as it runs. */
  readonly onStart: (child: AgentChild) => void
}

/** Why an agent has no exit that is known. */
export type AgentFailure = SpawnFailure.SpawnFailure | SpawnFailure.SpawnerEnded | SpawnFailure.ExitUnknown

type End = Either.Either<AgentExit, AgentFailure>

/** In so many turns of the event loop comes what was there with the exit: one may be half over, one reads, one sees the end. */
const turnsAfterExit = 3

/** An agent's process, from the order to start it on. */
export class AgentChild implements SpawnEvents {
  isWanted = true
  /** Undefined where it does not run yet, or is not known; the process may run all the same. */
  pid: number | undefined
  private readonly options: AgentChildOptions
  private pipes: AgentPipes.AgentPipes | undefined
  /** Whether there is nothing more to hear of its start. */
  private isAnswered = false
  private end: End | undefined
  private readonly waiting = new Set<() => boolean>()
  private isExited: () => boolean = () => this.end !== undefined
  /** The FIFOs, until they are read. */
  private unread: FifoPair | undefined

  /** Has it started; what becomes of it is told later. */
  constructor(options: AgentChildOptions) {
    this.options = options
    if (Either.isLeft(options.pair)) this.startHere()
    else this.startOn(options.pair.right)
  }

  /** How it ended; fails where that is not known, or it was not started. Its output may not be read to the end yet. */
  get exit(): Effect.Effect<AgentExit, AgentFailure> {
    return Effect.async((resume) => this.lookUntil(() => this.isEndSeen(resume)))
  }

  /**
   * It is to be ended. Succeeds once it is known whether it has been started, and as which process; what starts it is in a
   * hurry then.
   */
  get unwanted(): Effect.Effect<void> {
    return Effect.async((resume) => {
      this.isWanted = false
      if (!this.isAnswered) this.options.spawner.hurry()
      return this.lookUntil(() => isSo(this.isAnswered, resume))
    })
  }

  /** Both streams have been read to their end, or closed. */
  get drained(): Effect.Effect<void> {
    return Effect.async((resume) => this.lookUntil(() => isSo(this.isDrained, resume)))
  }

  get isDrained(): boolean {
    return this.pipes?.isDrained ?? true
  }

  /** Its process has been waited for. */
  exited(): boolean {
    return this.isExited()
  }

  /** Whether a stream waits for its reader rather than for its writer. */
  get isPaused(): boolean {
    return this.pipes?.isPaused ?? false
  }

  /** From now on output is read and dropped, so that whoever prints it is not stopped by a full pipe. */
  discard(): void {
    this.pipes?.discard()
  }

  /** Closes both streams, read or not. */
  close(): void {
    this.pipes?.close()
  }

  started(pid: number): void {
    this.pid = pid
    this.isAnswered = true
    this.options.onStart(this)
    this.readOn()
    this.wake()
  }

  failed(why: SpawnFailure.SpawnFailure | SpawnFailure.SpawnerEnded): void {
    this.isAnswered = true
    if (
      why._tag === "SpawnerEnded" &&
      this.unread !== undefined &&
      isStarted(this.unread, this.options.output)
    )
      this.goOnUnknown(why)
    else {
      this.giveUp()
      this.over(Either.left(why))
    }
  }

  ended(exit: Either.Either<AgentExit, SpawnFailure.ExitUnknown>): void {
    this.over(exit)
  }

  private over(end: End): void {
    this.end = end
    this.wake()
  }

  private wake(): void {
    for (const look of this.waiting) if (look()) this.waiting.delete(look)
  }

  /** Looks now, and whenever something has changed, until it says that it has seen enough. */
  private watch(look: () => boolean): void {
    if (!look()) this.waiting.add(look)
  }

  /** As `watch`; what is given ends it. */
  private lookUntil(look: () => boolean): Effect.Effect<void> {
    this.watch(look)
    return Effect.sync(() => this.waiting.delete(look))
  }

  private isEndSeen(resume: (end: End) => void): boolean {
    const { end } = this
    if (end === undefined) return false
    this.lookAgain(end, turnsAfterExit, resume)
    return true
  }

  /** What was printed before the exit is there, or comes at once. */
  private lookAgain(end: End, turns: number, resume: (end: End) => void): void {
    if (turns === 0 || this.isDrained) resume(end)
    else setImmediate(() => this.lookAgain(end, turns - 1, resume))
  }

  private startOn(pair: FifoPair): void {
    const { spawner, command, fifos } = this.options
    try {
      pair.open()
    } catch (cause) {
      fifos.remove(pair)
      setImmediate(() => this.failed(SpawnFailure.from(cause)))
      return
    }
    this.unread = pair
    const { program, parameters, cookie, mark } = command
    const { stdout, stderr } = pair
    const request = { program, parameters, cookie, mark, stdout: stdout.path, stderr: stderr.path }
    this.isExited = spawner.spawn(request, this).exited
  }

  /** Its other ends are open: so the end of what is read is the end. */
  private readOn(): void {
    const { unread: pair } = this
    const { fifos, output } = this.options
    this.unread = undefined
    if (pair === undefined) return
    this.pipes = AgentPipes.ofFifos(pair, output, (atEnd) => {
      if (atEnd) fifos.give(pair)
      else fifos.remove(pair)
      this.wake()
    })
  }

  private giveUp(): void {
    if (this.unread === undefined) return
    this.options.fifos.remove(this.unread)
    this.unread = undefined
  }

  /** An agent that runs, but under a process id that is not known: the end of its output is taken for its end. */
  private goOnUnknown({ message }: SpawnFailure.SpawnerEnded): void {
    this.isExited = () => true
    this.options.onStart(this)
    this.readOn()
    this.wake()
    this.watch(() => {
      // Its end wakes all that look, this one too.
      if (this.isDrained && this.end === undefined)
        this.over(Either.left(new SpawnFailure.ExitUnknown({ message })))
      return this.isDrained
    })
  }

  /** From the relay's own process, which blocks it for some milliseconds: a machine without FIFOs has no better way. */
  private startHere(): void {
    const { command, output } = this.options
    const { program, parameters, cookie } = command
    try {
      const child = spawn(program, parameters, {
        stdio: ["ignore", "pipe", "pipe"],
        detached: true,
        cwd: "/",
        env: { ...AgentEnvironment.of(process.env), [cookieName]: cookie }
      })
      const { pid } = child
      // Also where a signal can't be sent: that is no news of a process that runs.
      child.on("error", (cause) => {
        if (pid === undefined) this.failed(SpawnFailure.from(cause))
      })
      if (pid === undefined) return
      child.once("exit", (code, signal) => this.over(Either.right({ code, signal })))
      this.pipes = AgentPipes.ofStreams([child.stdout, child.stderr], output, () => this.wake())
      setImmediate(() => this.started(pid))
    } catch (cause) {
      setImmediate(() => this.failed(SpawnFailure.from(cause)))
    }
  }
}

const isSo = (condition: boolean, resume: (effect: Effect.Effect<void>) => void): boolean => {
  if (condition) resume(Effect.void)
  return condition
}

/** Whether an agent runs, or ran, on these pipes, where its starter has ended before it said so. */
const isStarted = ({ stdout, stderr }: FifoPair, output: AgentOutput): boolean => {
  const printed = stdout.isUsed((bytes) => output.write("stdout", bytes, () => {}))
  return stderr.isUsed((bytes) => output.write("stderr", bytes, () => {})) || printed
}
