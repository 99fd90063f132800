/** One process that starts agents, and the agents that it was asked for. */
import { type ChildProcess, spawn } from "node:child_process"
import { Socket } from "node:net"
import { Deferred, Duration, Effect, Either, Exit, FiberId } from "effect"
import * as Race from "../../Race.ts"
import * as AgentEnvironment from "./AgentEnvironment.ts"
import type { AgentExit } from "./AgentProcess.ts"
import guard from "./guard.mjs?raw"
import * as ProcessTable from "./ProcessTable.ts"
import * as Signals from "./Signals.ts"
import * as Protocol from "./SpawnerProtocol.ts"
import * as Failure from "./SpawnFailure.ts"
import nodeProgram from "./spawner.mjs?raw"
import perlProgram from "./starter.pl?raw"

/** What becomes of a program that was to be started: told at once, and `failed` or `ended` at last. */
export interface SpawnEvents {
  /** False once its end is waited for, and not what it does. */
  readonly isWanted: boolean
  readonly started: (pid: number) => void
  /**
   * It does not run, and did not: for the reason that the system gives, or, `SpawnerEnded`, maybe, since nobody can say.
   * Also behind `started`, where there was a process that could not become the program.
   */
  readonly failed: (why: Failure.SpawnFailure | Failure.SpawnerEnded) => void
  /** Left: the process that started it ended before; it is gone, nobody knows how. */
  readonly ended: (exit: Either.Either<AgentExit, Failure.ExitUnknown>) => void
}

/** A program that was asked for. */
export interface Spawned {
  /** Whether it is over, its process having been waited for: its number may be another's. */
  readonly exited: () => boolean
}

/** What starts agents. */
export interface Starter {
  readonly command: string
  readonly parameters: ReadonlyArray<string>
}

/** The cheapest there is. @param perl its path */
export const inPerl = (perl: string): Starter => ({ command: perl, parameters: ["-e", perlProgram] })

/** The one that is always there. It allocates next to nothing, and the smaller it is, the cheaper its forks are. */
export const inNode: Starter = {
  command: process.execPath,
  parameters: ["--max-semi-space-size=1", "--input-type=module", "--eval", nodeProgram]
}

/** The id of what it is told first. */
const setupId = 0

class Expected implements Spawned {
  readonly events: SpawnEvents
  private readonly connection: Connection
  pid: number | undefined
  over = false
  /** As it was when its starter ended, which was the last to know; undefined where nothing can be seen of it. */
  private left: ProcessTable.Process | undefined

  constructor(connection: Connection, events: SpawnEvents) {
    this.connection = connection
    this.events = events
  }

  readonly exited = (): boolean => this.over || (this.connection.isOver && this.isGone())

  /** Its starter has ended: from now on it is known by what is seen of it. */
  orphan(): void {
    if (this.pid !== undefined) this.left = ProcessTable.find(this.pid)
  }

  /** Where /proc hides it: whether no process has its number. */
  isGone(): boolean {
    if (this.pid === undefined) return true
    if (this.left === undefined) return !Signals.isThere(this.pid)
    const now = ProcessTable.find(this.pid)
    return now === undefined || now.zombie || now.start !== this.left.start
  }
}

/** One process that starts agents, from its start to its end. */
export class Connection {
  private readonly process: ChildProcess
  /** What the process has not answered yet, in the order in which it was asked; undefined: it is about no agent. */
  private readonly unanswered = new Map<number, Expected | undefined>()
  /** Those that run. */
  private readonly running = new Map<number, Expected>()
  /** Their process ids. */
  private readonly pids = new Set<number>()
  /** Those of others that it guards. */
  private readonly guards = new Set<number>()
  private readonly answers = new Protocol.Answers()
  private readonly started = performance.now()
  private count = setupId
  /** To be told together: a write costs as much as what it says. */
  private messages: Array<Buffer> = []
  /** Why the process is of no more use. By then all that it said of its children has been heard. */
  readonly ended = Deferred.unsafeMake<string>(FiberId.none)
  /** With the first sign of its end: it was to be killed, or has exited. */
  readonly ending = Deferred.unsafeMake<void>(FiberId.none)
  /** Why it was to be killed, where that is to be said. */
  hanging: string | undefined
  private exit = "can't be ended"
  /** False from the first sign on. */
  usable = true
  /** The process has ended, and what it said has been heard. */
  isOver = false
  /** It has answered at all. */
  isSetUp = false
  /** How many answers have come. */
  heard = 0
  /** Somebody looks whether it answers. */
  watched = false
  /** Somebody looks whether it answers soon. */
  hurried = false
  /** It was given less time than it may take. */
  isCutShort = false

  /** Throws what node throws. */
  constructor({ command, parameters }: Starter, killGrace: Duration.Duration) {
    // What is meant for an agent's perl or node is not meant for this one: the environment comes with the setup.
    // Were stderr the relay's own, node would make it one that blocks, the relay's end with it: then a reader of the log
    // who stands still would stop the relay.
    this.process = spawn(command, parameters, {
      env: {},
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
      cwd: "/"
    })
    this.process.stdin?.on("error", () => this.kill())
    this.process.stdout?.setEncoding("latin1").on("data", (text: string) => this.told(text))
    this.process.stderr?.on("data", (bytes: Uint8Array) => process.stderr.write(bytes))
    this.process.once("error", (error) => this.end(`could not be started: ${error.message}`))
    this.process.once("exit", (code, signal) => {
      this.exit = `has ended (${signal ?? `code ${code}`})`
      Deferred.unsafeDone(this.ending, Exit.void)
    })
    // Its last words may come after its exit, but not after the end of the pipe that they come through.
    this.process.once("close", () => this.end())
    // The process alone must not keep the relay's alive.
    this.process.unref()
    for (const stream of this.streams) if (stream instanceof Socket) stream.unref()
    this.unanswered.set(setupId, undefined)
    const environment = AgentEnvironment.of(process.env)
    const node = process.execPath
    this.tell(Protocol.setup({ node, killGraceMillis: Duration.toMillis(killGrace), guard, environment }))
  }

  /** Milliseconds. */
  get age(): number {
    return performance.now() - this.started
  }

  /** It has answered all that it was asked. */
  get isAnswered(): boolean {
    return this.unanswered.size === 0
  }

  /** Agents that it started run, as far as is known. */
  get hasRunning(): boolean {
    return this.running.size > 0
  }

  /** Of an agent that it started more than the end is waited for. */
  get hasWanted(): boolean {
    for (const { events } of this.running.values()) if (events.isWanted) return true
    return false
  }

  /** Nothing is to be heard of it. */
  get isIdle(): boolean {
    return this.isAnswered && !this.hasRunning
  }

  /** The id of what it was asked first and has not answered; where it has all, of a question to see whether it does. */
  question(): number {
    const [oldest] = this.unanswered.keys()
    if (oldest !== undefined) return oldest
    const id = ++this.count
    this.unanswered.set(id, undefined)
    this.tell(Protocol.ping(id))
    return id
  }

  ask(request: Protocol.SpawnRequest, events: SpawnEvents): Spawned {
    const id = ++this.count
    const expected = new Expected(this, events)
    this.unanswered.set(id, expected)
    this.tell(Protocol.start(id, request))
    return expected
  }

  /** Another's agent; its own it knows. */
  guard(pid: number, cookie: string): void {
    if (this.pids.has(pid)) return
    this.guards.add(pid)
    this.tell(Protocol.guard(pid, cookie))
  }

  release(pid: number): void {
    if (this.guards.delete(pid)) this.tell(Protocol.release(pid))
  }

  /** Whether it has not answered this. */
  isWaitedFor(id: number): boolean {
    return this.unanswered.has(id)
  }

  /** The agents go on: each has a group of its own. @param hanging why, where that is to be said */
  kill(hanging?: string): void {
    this.usable = false
    this.hanging ??= hanging
    const { pid, exitCode, signalCode } = this.process
    // What is called perl may be a script that has started it. Until it has been waited for, its number is no other's.
    if (pid !== undefined && exitCode === null && signalCode === null) Signals.toGroup(pid, "SIGKILL")
    Deferred.unsafeDone(this.ending, Exit.void)
  }

  /**
   * Behind the first sign of its end. Succeeds when the process is gone, or will never be: it hangs in the system, or
   * somebody else has its pipes. Then it counts as gone.
   */
  readonly over: Effect.Effect<void> = Race.atMost(Deferred.await(this.ended), "2 seconds").pipe(
    Effect.zipRight(
      Effect.sync(() => {
        this.end()
        for (const stream of this.streams) stream?.destroy()
        this.process.unref()
      })
    )
  )

  /** Kills it, and does what `over` does. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.kill()
    this.process.ref()
    return this.over
  })

  /** Ends those children that are gone, of a process that has ended; true when none is left. */
  endThoseGone(message: string): boolean {
    for (const [id, expected] of this.running)
      if (expected.isGone()) {
        this.running.delete(id)
        expected.over = true
        expected.events.ended(Either.left(new Failure.ExitUnknown({ message })))
      }
    return !this.hasRunning
  }

  private get streams() {
    return [this.process.stdin, this.process.stdout, this.process.stderr]
  }

  private tell(message: Buffer): void {
    if (!this.usable) return
    if (this.messages.push(message) === 1) setImmediate(() => this.send())
  }

  private send(): void {
    const { messages } = this
    this.messages = []
    // Where it can't be told, it is dead or dying, and its end is reported elsewhere.
    if (this.usable) this.process.stdin?.write(messages.length === 1 ? messages[0] : Buffer.concat(messages))
  }

  private told(text: string): void {
    for (const answer of this.answers.push(text)) this.hear(answer)
  }

  private hear(answer: Protocol.Answer): void {
    this.heard++
    const { id } = answer
    const expected = this.unanswered.get(id) ?? this.running.get(id)
    this.unanswered.delete(id)
    if (answer._tag === "Here") {
      this.isSetUp = true
      return
    }
    if (expected === undefined) return
    if (answer._tag === "Started") {
      const { pid } = answer
      this.running.set(id, expected)
      this.pids.add(pid)
      expected.pid = pid
      expected.events.started(pid)
      return
    }
    this.running.delete(id)
    if (expected.pid !== undefined) this.pids.delete(expected.pid)
    expected.over = true
    if (answer._tag === "Ended") expected.events.ended(Either.right(answer.exit))
    else expected.events.failed(answer.failure)
  }

  private end(what = this.exit): void {
    this.usable = false
    Deferred.unsafeDone(this.ending, Exit.void)
    if (this.isOver) return
    this.isOver = true
    const message = `the process that starts agents ${this.hanging ?? what}`
    for (const expected of this.running.values()) expected.orphan()
    const unanswered = [...this.unanswered.values()].filter((expected) => expected !== undefined)
    this.unanswered.clear()
    this.pids.clear()
    Deferred.unsafeDone(this.ended, Exit.succeed(message))
    for (const expected of unanswered) {
      expected.over = true
      expected.events.failed(new Failure.SpawnerEnded({ message }))
    }
  }
}
