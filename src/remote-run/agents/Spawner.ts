/** Starts processes from a small process of its own: see `spawner.mjs`. */
import { type ChildProcess, spawn } from "node:child_process"
import { Deferred, Duration, Effect, Exit, FiberId, Schedule, Schema, type Scope } from "effect"
import * as AgentEnvironment from "./AgentEnvironment.ts"
import type { AgentExit } from "./AgentProcess.ts"
import * as ProcessTable from "./ProcessTable.ts"
import * as Failure from "./SpawnFailure.ts"
import source from "./spawner.mjs?raw"

/** A program to be started. */
export interface SpawnRequest {
  readonly program: string
  readonly parameters: ReadonlyArray<string>
  /** Variables on top of those that every agent gets from the relay's own environment. */
  readonly environment: Readonly<Record<string, string>>
  /** The value, in the environment, by which the agent's processes are known. */
  readonly cookie: string
  /** The core dump filter that it is started with: see `Marks`. */
  readonly mark?: number | undefined
  /** Paths of FIFOs whose other ends are open. */
  readonly stdout: string
  readonly stderr: string
}

/** A process that was started. */
export interface Spawned {
  readonly pid: number
  /** As it was just after its start; undefined where nothing can be seen of it. */
  readonly process: ProcessTable.Process | undefined
  /** How the process ended. Where the spawner has ended before, this waits until the process is gone, and fails. */
  readonly exit: Effect.Effect<AgentExit, Failure.ExitUnknown>
  readonly exited: () => boolean
}

/** Starts processes, and guards them should the relay be killed. */
export interface Spawner {
  /** Starts a program. Fails with what node says where it can't be started. */
  readonly spawn: (
    request: SpawnRequest
  ) => Effect.Effect<Spawned, Failure.SpawnFailure | Failure.SpawnerEnded>
  /** Should the relay be killed before `release`, this agent is ended, whichever spawner started it. */
  readonly guard: (pid: number, cookie: string) => void
  readonly release: (pid: number) => void
}

const Answer = Schema.Struct({
  id: Schema.Number,
  pid: Schema.optional(Schema.Number),
  exit: Schema.optional(
    Schema.Struct({ code: Schema.NullOr(Schema.Number), signal: Schema.NullOr(Schema.String) })
  ),
  failure: Schema.optional(
    Schema.Struct({
      code: Schema.optional(Schema.String),
      syscall: Schema.optional(Schema.String),
      message: Schema.String
    })
  )
})
const areAnswers = Schema.is(Schema.Array(Answer))

/** A child that was asked for. */
class Expected implements Spawned {
  readonly started = Deferred.unsafeMake<Spawned, Failure.SpawnFailure | Failure.SpawnerEnded>(FiberId.none)
  readonly ended = Deferred.unsafeMake<AgentExit, Failure.ExitUnknown>(FiberId.none)
  readonly exit = Deferred.await(this.ended)
  pid = 0
  process: ProcessTable.Process | undefined
  private over = false
  private readonly connection: Connection

  constructor(connection: Connection) {
    this.connection = connection
  }

  start(pid: number): void {
    this.pid = pid
    this.process = ProcessTable.find(pid)
    Deferred.unsafeDone(this.started, Exit.succeed(this))
  }

  end(exit: Exit.Exit<AgentExit, Failure.ExitUnknown>): void {
    this.over = true
    Deferred.unsafeDone(this.ended, exit)
  }

  readonly exited = (): boolean => this.over || (!this.connection.usable && this.isGone())

  /** Where /proc hides it: whether no process has its number. */
  isGone(): boolean {
    if (this.process === undefined) return !exists(this.pid)
    const now = ProcessTable.find(this.pid)
    return now === undefined || now.zombie || now.start !== this.process.start
  }
}

/** One spawning process and the children it was asked for. */
class Connection {
  private readonly process: ChildProcess
  /** Those that the process has not answered for yet, in the order in which it was asked. */
  readonly unanswered = new Map<number, Expected>()
  /** Those that run. */
  private readonly running = new Map<number, Expected>()
  /** Their process ids. */
  private readonly pids = new Set<number>()
  /** Those of others that it guards. */
  private readonly guards = new Set<number>()
  private readonly started = performance.now()
  private count = 0
  /** To be told together: a message costs as much as what it says. */
  private messages: Array<object> = []
  /** Why the process is of no more use. By then all that it said of its children has been heard. */
  readonly ended = Deferred.unsafeMake<string>(FiberId.none)
  /** False from the first sign on. */
  usable = true
  /** Somebody looks whether it answers. */
  watched = false

  /** Throws what node throws. */
  constructor(killGrace: Duration.Duration) {
    // Its program comes by stdin: a file beside this one would be lost where a program is bundled that embeds the relay.
    const program = ["--input-type=module", "-", `${Duration.toMillis(killGrace)}`]
    // The spawner allocates next to nothing, and the smaller it is, the cheaper its forks are.
    this.process = spawn(process.execPath, ["--max-semi-space-size=1", ...program], {
      env: AgentEnvironment.of(process.env),
      stdio: ["pipe", "ignore", "inherit", "ipc"],
      detached: true,
      cwd: "/"
    })
    // Where it can't be told its program, it is dead, and its end is reported below.
    this.process.stdin?.on("error", () => {}).end(source)
    this.process.on("message", (message) => this.told(message))
    this.process.once("error", (error) => this.end(`could not be started: ${error.message}`))
    // The last message may come after the exit, but not after the end of the channel.
    let ends = 2
    let what = ""
    const over = () => {
      if (--ends === 0) this.end(what)
    }
    this.process.once("exit", (code, signal) => {
      what = `has ended (${signal ?? `code ${code}`})`
      over()
    })
    this.process.once("disconnect", () => {
      // A spawner that can't be asked any more is of no use, but it may live on.
      this.kill()
      over()
    })
    // The spawner alone must not keep the relay's process alive.
    this.process.unref()
    this.process.channel?.unref()
  }

  /** Milliseconds. */
  get age(): number {
    return performance.now() - this.started
  }

  ask(request: SpawnRequest): Expected {
    const id = ++this.count
    const expected = new Expected(this)
    this.unanswered.set(id, expected)
    this.tell({ id, ...request })
    return expected
  }

  tell(message: object): void {
    if (!this.usable) return
    if (this.messages.push(message) === 1) setImmediate(() => this.send())
  }

  /** Another's agent; its own it knows. */
  guard(pid: number, cookie: string): void {
    if (this.pids.has(pid)) return
    this.guards.add(pid)
    this.tell({ guard: pid, cookie })
  }

  release(pid: number): void {
    if (this.guards.delete(pid)) this.tell({ release: pid })
  }

  /** Its children go on. */
  kill(): void {
    this.usable = false
    this.process.kill("SIGKILL")
  }

  /** Succeeds when the process is gone, or will never be. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.kill()
    this.process.ref()
    return Deferred.await(this.ended).pipe(
      Effect.timeoutOption("2 seconds"),
      Effect.zipRight(Effect.sync(() => this.process.unref()))
    )
  })

  /** Ends those children that are gone, of a process that has ended; true when none is left. */
  endThoseGone(message: string): boolean {
    for (const [id, expected] of this.running)
      if (expected.isGone()) {
        this.running.delete(id)
        expected.end(Exit.fail(new Failure.ExitUnknown({ message })))
      }
    return this.running.size === 0
  }

  private send(): void {
    const { messages } = this
    this.messages = []
    if (!this.usable) return
    // Where messages can't be sent, the process is dead or dying, and its end is reported elsewhere.
    this.process.send(messages, (error) => {
      if (error !== null) this.kill()
    })
  }

  private told(message: unknown): void {
    if (areAnswers(message)) for (const answer of message) this.hear(answer)
  }

  private hear({ id, pid, exit, failure }: typeof Answer.Type): void {
    const asked = this.unanswered.get(id)
    if (asked !== undefined && pid !== undefined) {
      this.running.set(id, asked)
      this.pids.add(pid)
      asked.start(pid)
    }
    if (asked !== undefined && failure !== undefined) {
      const { message, code, syscall } = failure
      Deferred.unsafeDone(asked.started, Exit.fail(new Failure.SpawnFailure({ message, code, syscall })))
    }
    this.unanswered.delete(id)
    const running = this.running.get(id)
    if (running === undefined || exit === undefined) return
    this.running.delete(id)
    this.pids.delete(running.pid)
    running.end(Exit.succeed(exit))
  }

  private end(what: string): void {
    this.usable = false
    const message = `the process that starts agents ${what}`
    for (const { started } of this.unanswered.values())
      Deferred.unsafeDone(started, Exit.fail(new Failure.SpawnerEnded({ message })))
    this.unanswered.clear()
    this.pids.clear()
    Deferred.unsafeDone(this.ended, Exit.succeed(message))
  }
}

/**
 * A process that hangs at the start of a program (on a file system that does not answer) is given up after this long,
 * or up to twice as long where it answered when it was looked at first.
 */
const answerWithin = "30 seconds"

/** Looks, while there is something to answer, whether it is answered: one fiber for all that is asked. */
const watch = (connection: Connection): Effect.Effect<void> =>
  Effect.suspend(() => {
    const [oldest] = connection.unanswered.keys()
    if (oldest === undefined) return Effect.succeed(true)
    return Effect.delay(
      Effect.sync(() => {
        const hangs = connection.unanswered.has(oldest)
        // The killed spawner's end is an answer to all.
        if (hangs) connection.kill()
        return hangs
      }),
      answerWithin
    )
  }).pipe(
    Effect.repeat({ until: (over) => over }),
    Effect.ensuring(
      Effect.sync(() => {
        connection.watched = false
      })
    )
  )

/** One that ends sooner than this is not replaced before there is something to start. Milliseconds. */
const worthReplacing = 1000

/** The process lives until the scope ends; should it end before, another takes its place. */
export const make = (killGrace: Duration.Duration): Effect.Effect<Spawner, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const guarded = new Map<number, string>()
    let current: Connection | undefined
    yield* Effect.addFinalizer(() => current?.close ?? Effect.void)

    const connect = Effect.try({
      // In one go: nobody else connects meanwhile.
      try: () => {
        const connection = new Connection(killGrace)
        for (const [pid, cookie] of guarded) connection.guard(pid, cookie)
        current = connection
        return connection
      },
      catch: Failure.from
    }).pipe(
      // A fiber starts as interruptible as the one that forks it.
      Effect.tap((connection) => Effect.forkIn(Effect.interruptible(replaced(connection)), scope))
    )

    /** Agents that go on when it has ended are guarded by the next, and waited for. */
    const replaced = (connection: Connection): Effect.Effect<void> =>
      Effect.gen(function* () {
        const reason = yield* Deferred.await(connection.ended)
        yield* Effect.logWarning(`${reason}; the agents it started go on, but how they end can't be known`)
        if (current === connection && connection.age > worthReplacing) yield* Effect.ignore(connect)
        yield* Effect.sync(() => connection.endThoseGone(reason)).pipe(
          Effect.repeat({ until: (none) => none, schedule: poll })
        )
      })

    const connected = Effect.suspend(() => (current?.usable === true ? Effect.succeed(current) : connect))
    yield* Effect.ignore(connected)

    const spawn: Spawner["spawn"] = (request) =>
      Effect.flatMap(connected, (connection) => {
        const started = Deferred.await(connection.ask(request).started)
        if (connection.watched) return started
        connection.watched = true
        return Effect.zipRight(Effect.forkIn(Effect.interruptible(watch(connection)), scope), started)
      })

    return {
      spawn,
      guard: (pid, cookie) => {
        guarded.set(pid, cookie)
        current?.guard(pid, cookie)
      },
      release: (pid) => {
        guarded.delete(pid)
        current?.release(pid)
      }
    }
  })

const poll = Schedule.spaced("100 millis")

const exists = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (cause) {
    return cause instanceof Error && "code" in cause && cause.code === "EPERM"
  }
}
