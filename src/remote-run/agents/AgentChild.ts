/** The local process of an agent, and what it prints. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { type ConnectOpts, Socket, type SocketConstructorOpts } from "node:net"
import type { Readable } from "node:stream"
import { Deferred, Effect, Either, Exit, FiberId } from "effect"
import * as AgentEnvironment from "./AgentEnvironment.ts"
import type { AgentExit, AgentOutput } from "./AgentProcess.ts"
import * as Fifos from "./Fifos.ts"
import * as ProcessTable from "./ProcessTable.ts"
import type { Spawner, SpawnRequest } from "./Spawner.ts"
import * as SpawnFailure from "./SpawnFailure.ts"

export interface AgentChild {
  /** Undefined where it is not known any more; the process may run all the same. */
  readonly pid: number | undefined
  /** As it was just after its start; undefined also where nothing can be seen of it. */
  readonly process: ProcessTable.Process | undefined
  readonly exit: Effect.Effect<AgentExit, SpawnFailure.ExitUnknown>
  readonly exited: () => boolean
  /** Both streams have been read to their end, or closed. */
  readonly drained: Deferred.Deferred<void>
  readonly isDrained: () => boolean
  /** Whether a stream waits for its reader rather than for its writer. */
  readonly paused: () => boolean
  /** From now on output is read and dropped, so that whoever prints it is not stopped by a full pipe. */
  readonly discard: () => void
  /** Closes both streams, read or not. */
  readonly close: () => void
}

export interface AgentChildOptions {
  readonly spawner: Spawner
  readonly command: Pick<SpawnRequest, "program" | "parameters" | "environment" | "cookie" | "mark">
  readonly fifos: Pick<Fifos.Fifos, "give" | "remove">
  /** Left: why there are none. Then the agent gets ordinary pipes of node, which can't be opened by name. */
  readonly pair: Either.Either<Fifos.FifoPair, SpawnFailure.SpawnFailure>
  readonly output: AgentOutput
}

/**
 * Starts it; uninterruptible. Fails with what node says where it can't, or with `SpawnerEnded` where it has not been
 * started for that reason alone; everything is closed again then.
 */
export const start = (
  options: AgentChildOptions
): Effect.Effect<AgentChild, SpawnFailure.SpawnFailure | SpawnFailure.SpawnerEnded> =>
  Effect.uninterruptible(
    Either.match(options.pair, {
      onLeft: () => startHere(options),
      onRight: (pair) => startOn(pair, options)
    })
  )

const startOn = (pair: Fifos.FifoPair, { spawner, command, output, fifos }: AgentChildOptions) =>
  Effect.suspend(() => {
    let ends: Ends
    try {
      ends = openAll(pair)
    } catch (cause) {
      fifos.remove(pair)
      return Effect.fail(SpawnFailure.from(cause))
    }
    const [stdout, stderr] = ends
    const onClose = (atEnd: boolean) => (atEnd ? fifos.give(pair) : fifos.remove(pair))
    const followed = () => follow(stdout, stderr, output, onClose)
    return Effect.matchEffect(spawner.spawn({ ...command, stdout: pair[0], stderr: pair[1] }), {
      onSuccess: (spawned) => Effect.succeed<AgentChild>({ ...spawned, ...followed() }),
      onFailure: (failure) => {
        if (failure._tag === "SpawnerEnded" && isStarted(ends, output))
          return Effect.succeed(orphan(followed(), failure))
        for (const end of ends) fs.closeSync(end)
        fifos.remove(pair)
        return Effect.fail(failure)
      }
    })
  })

/** Whether somebody holds the other end of a pipe, or has written to it; what was written is handed on. */
const isUsed = (end: number, write: (bytes: Buffer) => void): boolean => {
  try {
    const length = fs.readSync(end, buffer)
    if (length > 0) write(buffer.subarray(0, length))
    return length > 0
  } catch (cause) {
    return SpawnFailure.from(cause).code === "EAGAIN"
  }
}

/** Whether an agent runs, or ran, on these pipes, where the spawner has ended before it said so. */
const isStarted = ([stdout, stderr]: Ends, output: AgentOutput): boolean => {
  const printed = isUsed(stdout, (bytes) => output.write("stdout", bytes, () => {}))
  return isUsed(stderr, (bytes) => output.write("stderr", bytes, () => {})) || printed
}

/** An agent that runs, but under a process id that is not known: the end of its output is taken for its end. */
const orphan = (followed: ReturnType<typeof follow>, { message }: SpawnFailure.SpawnerEnded): AgentChild => ({
  ...followed,
  process: undefined,
  pid: undefined,
  exit: Effect.zipRight(Deferred.await(followed.drained), new SpawnFailure.ExitUnknown({ message })),
  exited: () => true
})

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
          env: { ...AgentEnvironment.of(process.env), ...environment }
        }),
      catch: SpawnFailure.from
    })
    const { pid } = child
    if (pid === undefined) {
      const failed = Effect.async<never, SpawnFailure.SpawnFailure>((resume) => {
        child.once("error", (cause) => resume(Effect.fail(SpawnFailure.from(cause))))
      })
      return yield* failed
    }
    // Also where a signal can't be sent: that is no news of the process.
    child.on("error", () => {})
    const exit = Deferred.unsafeMake<AgentExit>(FiberId.none)
    let exited = false
    child.once("exit", (code, signal) => {
      exited = true
      Deferred.unsafeDone(exit, Exit.succeed({ code, signal }))
    })
    return {
      pid,
      process: ProcessTable.find(pid),
      exit: Deferred.await(exit),
      exited: () => exited,
      ...follow(child.stdout, child.stderr, output, () => {})
    }
  })

/** The ends that the relay reads. */
type Ends = readonly [stdout: number, stderr: number]

const openAll = ([stdout, stderr]: Fifos.FifoPair): Ends => {
  const first = Fifos.open(stdout)
  try {
    return [first, Fifos.open(stderr)]
  } catch (cause) {
    fs.closeSync(first)
    throw cause
  }
}

/** All FIFOs are read into this buffer: what was read is handed on before the next read, and whoever keeps it copies it. */
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

/** Reads both; `onClose` is told, once neither is read any more, whether both were read to their end. */
const follow = (
  stdout: number | Readable,
  stderr: number | Readable,
  output: AgentOutput,
  onClose: (atEnd: boolean) => void
) => {
  const drained = Deferred.unsafeMake<void>(FiberId.none)
  const paused = new Set<string>()
  /** Those that are not at their end, by name. */
  const left = new Set<string>(["stdout", "stderr"])
  let open = 2
  let atEnd = true
  let discarding = false
  const read = (name: "stdout" | "stderr", source: number | Readable) => {
    const resume = () => {
      if (paused.delete(name)) stream.resume()
    }
    const onBytes = (bytes: Buffer) => {
      if (discarding) return true
      paused.add(name)
      // `resume` may be called before `write` returns.
      if (output.write(name, bytes, resume)) paused.delete(name)
      return !paused.has(name)
    }
    const stream: Readable =
      typeof source === "number" ? readFifo(source, onBytes) : readStream(source, onBytes)
    // A pipe that can't be read on has no more to say.
    stream.on("error", () => stream.destroy())
    const over = () => {
      paused.delete(name)
      if (left.delete(name) && left.size === 0) Deferred.unsafeDone(drained, Exit.void)
    }
    // It closes some turns of the event loop after its end.
    stream.once("end", over)
    stream.once("close", () => {
      atEnd &&= stream.readableEnded
      if (--open === 0) onClose(atEnd)
      over()
    })
    return stream
  }
  const streams = [read("stdout", stdout), read("stderr", stderr)]
  return {
    drained,
    isDrained: () => left.size === 0,
    paused: () => paused.size > 0,
    discard: () => {
      discarding = true
      for (const stream of streams) {
        stream.resume()
        // Held output alone must not keep the relay's process alive.
        if (stream instanceof Socket) stream.unref()
      }
    },
    close: () => {
      for (const stream of streams) stream.destroy()
    }
  }
}
