/** The local process of an agent, and what it prints. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { type ConnectOpts, Socket, type SocketConstructorOpts } from "node:net"
import type { Readable } from "node:stream"
import { Deferred, Effect, Exit, FiberId, Option } from "effect"
import type { AgentExit, AgentOutput } from "./AgentProcess.ts"
import * as Fifos from "./Fifos.ts"
import type { Spawner, SpawnRequest } from "./Spawner.ts"
import * as SpawnFailure from "./SpawnFailure.ts"

export interface AgentChild {
  readonly pid: number
  readonly exit: Deferred.Deferred<AgentExit, SpawnFailure.SpawnFailure>
  readonly exited: () => boolean
  /** Both streams have been read to their end, or closed. */
  readonly drained: Deferred.Deferred<void>
  /** Whether a stream waits for its reader rather than for its writer. */
  readonly paused: () => boolean
  /** Closes both streams, read or not. */
  readonly close: () => void
}

export interface AgentChildOptions {
  readonly spawner: Spawner
  readonly command: Pick<SpawnRequest, "program" | "parameters" | "environment" | "mark">
  /** None: ordinary pipes of node, which can't be opened by name. */
  readonly fifos: Option.Option<Fifos.FifoPair>
  readonly output: AgentOutput
}

/** Starts it. Fails with what node says where it can't; everything is closed again then. */
export const start = (options: AgentChildOptions): Effect.Effect<AgentChild, SpawnFailure.SpawnFailure> =>
  Option.match(options.fifos, {
    onNone: () => startHere(options),
    onSome: (fifos) => startOn(fifos, options)
  })

const startOn = (fifos: Fifos.FifoPair, { spawner, command, output }: AgentChildOptions) =>
  Effect.acquireUseRelease(
    Effect.try({ try: () => openAll(fifos), catch: SpawnFailure.from }),
    ([stdout, stderr]) =>
      spawner.spawn({ ...command, stdout: fifos[0], stderr: fifos[1] }).pipe(
        Effect.map((spawned) => ({ ...spawned, ...follow(stdout.readEnd, stderr.readEnd, output) })),
        Effect.tapError(() =>
          Effect.sync(() => {
            for (const { readEnd } of [stdout, stderr]) fs.closeSync(readEnd)
          })
        )
      ),
    (pipes) =>
      Effect.sync(() => {
        // The end of a stream is seen only when nobody else could write to it.
        for (const { writeEnd } of pipes) fs.closeSync(writeEnd)
        for (const fifo of fifos) fs.rmSync(fifo, { force: true })
      })
  )

/** From the relay's own process, which blocks it for some milliseconds: a machine without FIFOs has no better way. */
const startHere = ({
  command,
  output
}: AgentChildOptions): Effect.Effect<AgentChild, SpawnFailure.SpawnFailure> =>
  Effect.gen(function* () {
    const { program, parameters, environment } = command
    const child = yield* Effect.try({
      try: () =>
        spawn(program, parameters, {
          stdio: ["ignore", "pipe", "pipe"],
          detached: true,
          cwd: "/",
          env: { ...process.env, ...environment }
        }),
      catch: SpawnFailure.from
    })
    const exit = Deferred.unsafeMake<AgentExit, SpawnFailure.SpawnFailure>(FiberId.none)
    let exited = false
    child.once("exit", (code, signal) => {
      exited = true
      Deferred.unsafeDone(exit, Exit.succeed({ code, signal }))
    })
    child.once("error", (cause) => Deferred.unsafeDone(exit, Exit.fail(SpawnFailure.from(cause))))
    const followed = follow(child.stdout, child.stderr, output)
    const { pid } = child
    if (pid !== undefined) return { pid, exit, exited: () => exited, ...followed }
    followed.close()
    // It has no process, so it has no exit but this failure.
    yield* Deferred.await(exit)
    return yield* SpawnFailure.from("no process")
  })

const openAll = ([stdout, stderr]: Fifos.FifoPair): readonly [Fifos.Pipe, Fifos.Pipe] => {
  const first = Fifos.open(stdout)
  try {
    return [first, Fifos.open(stderr)]
  } catch (cause) {
    fs.closeSync(first.readEnd)
    fs.closeSync(first.writeEnd)
    throw cause
  }
}

/** FIFOs are read into this: what is read is handed on, and copied by whom it matters to, before the next read. */
const buffer = Buffer.allocUnsafeSlow(64 * 1024)

/** Hands `bytes` on; false: no more until the stream is resumed. */
type OnBytes = (bytes: Buffer) => boolean

const readFifo = (fd: number, onBytes: OnBytes): Readable => {
  const callback = (length: number) => onBytes(buffer.subarray(0, length))
  const options: SocketConstructorOpts & ConnectOpts = {
    fd,
    readable: true,
    writable: false,
    onread: { buffer, callback }
  }
  return new Socket(options).resume()
}

const readStream = (stream: Readable, onBytes: OnBytes): Readable =>
  stream.on("data", (bytes: Buffer) => {
    if (!onBytes(bytes)) stream.pause()
  })

const follow = (stdout: number | Readable, stderr: number | Readable, output: AgentOutput) => {
  const drained = Deferred.unsafeMake<void>(FiberId.none)
  const paused = new Set<string>()
  const open = new Set<string>()
  const read = (name: "stdout" | "stderr", source: number | Readable) => {
    const resume = () => {
      if (paused.delete(name)) stream.resume()
    }
    const onBytes = (bytes: Buffer) => {
      paused.add(name)
      // `resume` may be called before `write` returns.
      if (output.write(name, bytes, resume)) paused.delete(name)
      return !paused.has(name)
    }
    open.add(name)
    const stream: Readable =
      typeof source === "number" ? readFifo(source, onBytes) : readStream(source, onBytes)
    // A pipe that can't be read on has no more to say.
    stream.on("error", () => stream.destroy())
    stream.once("close", () => {
      open.delete(name)
      paused.delete(name)
      if (open.size === 0) Deferred.unsafeDone(drained, Exit.void)
    })
    return stream
  }
  const streams = [read("stdout", stdout), read("stderr", stderr)]
  return {
    drained,
    paused: () => paused.size > 0,
    close: () => {
      for (const stream of streams) stream.destroy()
    }
  }
}
