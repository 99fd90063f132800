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
  /** Should the relay be killed before the scope ends, this agent is ended, whichever spawner started it. */
  readonly guard: (pid: number, cookie: string) => Effect.Effect<void, never, Scope.Scope>
}

const Message = Schema.Struct({
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
const isMessage = Schema.is(Message)

/** A child that was asked for. */
class Expected {
  readonly pid = Deferred.unsafeMake<number, Failure.SpawnFailure | Failure.SpawnerEnded>(FiberId.none)
  readonly exit = Deferred.unsafeMake<AgentExit>(FiberId.none)
  running: number | undefined
  exited = false
}

/** One spawning process and the children it was asked for. */
class Connection {
  private readonly process: ChildProcess
  private readonly expected = new Map<number, Expected>()
  private readonly started = performance.now()
  private count = 0
  /** Why the process is of no more use. By then all that it said of its children has been heard. */
  readonly ended = Deferred.unsafeMake<string>(FiberId.none)
  /** False from the first sign on. */
  usable = true
  /** Those of its children that run. */
  readonly running = new Set<number>()

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
    const expected = new Expected()
    this.expected.set(id, expected)
    this.tell({ id, ...request })
    return expected
  }

  tell(message: object): void {
    if (!this.usable) return
    // Where a message can't be sent, the process is dead or dying, and its end is reported elsewhere.
    this.process.send(message, (error) => {
      if (error !== null) this.kill()
    })
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

  private told(message: unknown): void {
    const expected = isMessage(message) ? this.expected.get(message.id) : undefined
    if (expected === undefined || !isMessage(message)) return
    const { id, pid, exit, failure } = message
    if (pid !== undefined) {
      expected.running = pid
      this.running.add(pid)
      Deferred.unsafeDone(expected.pid, Exit.succeed(pid))
    }
    if (exit !== undefined) {
      expected.exited = true
      if (expected.running !== undefined) this.running.delete(expected.running)
      Deferred.unsafeDone(expected.exit, Exit.succeed(exit))
    }
    if (failure !== undefined) {
      const { message, code, syscall } = failure
      Deferred.unsafeDone(expected.pid, Exit.fail(new Failure.SpawnFailure({ message, code, syscall })))
    }
    if (exit !== undefined || failure !== undefined) this.expected.delete(id)
  }

  private end(what: string): void {
    this.usable = false
    const message = `the process that starts agents ${what}`
    for (const { pid } of this.expected.values())
      Deferred.unsafeDone(pid, Exit.fail(new Failure.SpawnerEnded({ message })))
    this.expected.clear()
    Deferred.unsafeDone(this.ended, Exit.succeed(message))
  }
}

/** A process that hangs at the start of a program (on a file system that does not answer) is given up then. */
const answerWithin = "30 seconds"

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
        for (const [guard, cookie] of guarded) connection.tell({ guard, cookie })
        current = connection
        return connection
      },
      catch: Failure.from
    }).pipe(
      // A fiber starts as interruptible as the one that forks it.
      Effect.tap((connection) => Effect.forkIn(Effect.interruptible(replaced(connection)), scope))
    )

    /** Agents that go on when it has ended are guarded by the next. */
    const replaced = (connection: Connection): Effect.Effect<void> =>
      Deferred.await(connection.ended).pipe(
        Effect.tap((reason) =>
          Effect.logWarning(`${reason}; the agents it started go on, but how they end can't be known`)
        ),
        Effect.andThen(
          Effect.suspend(() =>
            current === connection && connection.age > worthReplacing ? Effect.ignore(connect) : Effect.void
          )
        )
      )

    const connected = Effect.suspend(() => (current?.usable === true ? Effect.succeed(current) : connect))
    yield* Effect.ignore(connected)

    const spawn: Spawner["spawn"] = (request) =>
      Effect.gen(function* () {
        const connection = yield* connected
        const expected = connection.ask(request)
        // Interruptible, since a time-out is over only when the effect that it interrupts is.
        const pid = yield* Effect.interruptible(Deferred.await(expected.pid)).pipe(
          Effect.timeoutTo({
            duration: answerWithin,
            onSuccess: Effect.succeed,
            // The killed spawner's end completes the Deferred, with a failure.
            onTimeout: () =>
              Effect.andThen(
                Effect.sync(() => connection.kill()),
                Deferred.await(expected.pid)
              )
          }),
          Effect.flatten
        )
        const gone = goneOf(pid)
        const lost = Deferred.await(connection.ended).pipe(
          Effect.zipLeft(Effect.repeat(Effect.sync(gone), { until: (is) => is, schedule: poll })),
          Effect.flatMap((message) => new Failure.ExitUnknown({ message }))
        )
        return {
          pid,
          exit: Effect.raceFirst(Deferred.await(expected.exit), lost),
          exited: () => expected.exited || (!connection.usable && gone())
        }
      })

    const guard: Spawner["guard"] = (pid, cookie) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          guarded.set(pid, cookie)
          if (current?.running.has(pid) === false) current.tell({ guard: pid, cookie })
        }),
        () =>
          Effect.sync(() => {
            guarded.delete(pid)
            if (current?.running.has(pid) === false) current.tell({ release: pid })
          })
      )
    return { spawn, guard }
  })

const poll = Schedule.spaced("100 millis")

const exists = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (cause) {
    return cause instanceof Error && "code" in cause && cause.code === "EPERM"
  }
}

/** Gives a check whether a process that lives now is gone; where /proc hides it, whether no process has its number. */
const goneOf = (pid: number) => {
  const start = ProcessTable.find(pid)?.start
  return (): boolean => {
    if (start === undefined) return !exists(pid)
    const now = ProcessTable.find(pid)
    return now === undefined || now.zombie || now.start !== start
  }
}
