/** Starts processes from a small process of its own: see `spawner.mjs`. */
import { type ChildProcess, fork } from "node:child_process"
import { Deferred, Effect, Exit, FiberId, Schema, type Scope } from "effect"
import type { AgentExit } from "./AgentProcess.ts"
import * as SpawnFailure from "./SpawnFailure.ts"

export interface SpawnRequest {
  readonly program: string
  readonly parameters: ReadonlyArray<string>
  /** On top of the relay's own. */
  readonly environment: Readonly<Record<string, string>>
  /** The core dump filter that it is started with: see `Marks`. */
  readonly mark?: number | undefined
  /** Paths of FIFOs whose other ends are open. */
  readonly stdout: string
  readonly stderr: string
}

export interface Spawned {
  readonly pid: number
  /** Fails when it can't be known any more. */
  readonly exit: Deferred.Deferred<AgentExit, SpawnFailure.SpawnFailure>
  readonly exited: () => boolean
}

export interface Spawner {
  /** Fails with what node says where the program can't be started. */
  readonly spawn: (request: SpawnRequest) => Effect.Effect<Spawned, SpawnFailure.SpawnFailure>
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
  readonly pid = Deferred.unsafeMake<number, SpawnFailure.SpawnFailure>(FiberId.none)
  readonly exit = Deferred.unsafeMake<AgentExit, SpawnFailure.SpawnFailure>(FiberId.none)
  exited = false

  fail(cause: SpawnFailure.SpawnFailure): void {
    Deferred.unsafeDone(this.pid, Exit.fail(cause))
    Deferred.unsafeDone(this.exit, Exit.fail(cause))
  }
}

/** One spawning process and the children it was asked for. When it ends, nothing more is known of them. */
class Connection {
  private readonly process: ChildProcess
  private readonly expected = new Map<number, Expected>()
  private count = 0
  ended = false

  constructor() {
    this.process = fork(new URL("./spawner.mjs", import.meta.url), {
      // It allocates next to nothing, and is started from more cheaply the smaller it is.
      execArgv: ["--max-semi-space-size=1"],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      detached: true,
      cwd: "/"
    })
    this.process.on("message", (message) => this.told(message))
    this.process.once("error", (error) => this.end(error))
    this.process.once("exit", () => this.end("the process that starts agents has ended"))
    // What keeps the program alive are its own tasks.
    this.process.unref()
    this.process.channel?.unref()
  }

  ask(request: SpawnRequest): Expected {
    const id = ++this.count
    const expected = new Expected()
    this.expected.set(id, expected)
    this.process.send({ id, ...request }, (error) => {
      if (error !== null) expected.fail(SpawnFailure.from(error))
    })
    return expected
  }

  /** Succeeds when the process is gone. */
  readonly close: Effect.Effect<void> = Effect.async((resume) => {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return resume(Effect.void)
    this.process.ref()
    this.process.once("exit", () => resume(Effect.void))
    if (this.process.connected) this.process.disconnect()
  })

  private told(message: unknown): void {
    const expected = isMessage(message) ? this.expected.get(message.id) : undefined
    if (expected === undefined || !isMessage(message)) return
    const { id, pid, exit, failure } = message
    if (pid !== undefined) Deferred.unsafeDone(expected.pid, Exit.succeed(pid))
    if (exit !== undefined) {
      expected.exited = true
      Deferred.unsafeDone(expected.exit, Exit.succeed(exit))
    }
    if (failure !== undefined)
      expected.fail(
        new SpawnFailure.SpawnFailure({
          message: failure.message,
          code: failure.code,
          syscall: failure.syscall
        })
      )
    if (exit !== undefined || failure !== undefined) this.expected.delete(id)
  }

  private end(cause: unknown): void {
    this.ended = true
    for (const expected of this.expected.values()) expected.fail(SpawnFailure.from(cause))
    this.expected.clear()
  }
}

/** The process lives until the scope ends; should it end before, another takes its place. */
export const make: Effect.Effect<Spawner, never, Scope.Scope> = Effect.gen(function* () {
  let connection = new Connection()
  yield* Effect.addFinalizer(() => connection.close)
  const spawn = (request: SpawnRequest) =>
    Effect.suspend(() => {
      if (connection.ended) connection = new Connection()
      const expected = connection.ask(request)
      return Effect.map(Deferred.await(expected.pid), (pid) => ({
        pid,
        exit: expected.exit,
        exited: () => expected.exited
      }))
    })
  return { spawn }
})
