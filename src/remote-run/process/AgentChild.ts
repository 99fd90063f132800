/** The local process of an agent, and what it prints. */
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import type { Readable } from "node:stream"
import { Deferred, Exit, FiberId, Option } from "effect"
import type { AgentExit, AgentOutput } from "../AgentProcess.ts"
import * as Fifos from "./Fifos.ts"

export interface AgentChild {
  /** None when it did not start; `exit` then fails. */
  readonly pid: Option.Option<number>
  /** Fails with what node says where the program can't be started. */
  readonly exit: Deferred.Deferred<AgentExit, unknown>
  readonly exited: () => boolean
  /** Both streams have been read to their end, or closed. */
  readonly drained: Deferred.Deferred<void>
  /** Whether a stream waits for its reader rather than for its writer. */
  readonly paused: () => boolean
  /** Closes both streams, read or not. */
  readonly close: () => void
}

export interface AgentChildOptions {
  readonly program: string
  readonly parameters: ReadonlyArray<string>
  readonly environment: NodeJS.ProcessEnv
  /** None: ordinary pipes of node, which can't be opened by name. */
  readonly fifos: Option.Option<Fifos.FifoPair>
  readonly output: AgentOutput
}

/** Starts it, blocking for 1 to 3 ms. Throws where node does; everything is closed again then. */
export const start = (options: AgentChildOptions): AgentChild => {
  const writeEnds: Array<number> = []
  const streams: Array<Readable> = []
  const open = (fifo: string) => {
    const { readEnd, writeEnd } = Fifos.open(fifo)
    writeEnds.push(writeEnd)
    streams.push(new net.Socket({ fd: readEnd, readable: true, writable: false }))
    return writeEnd
  }
  try {
    const [stdout, stderr] = Option.isSome(options.fifos)
      ? options.fifos.value.map(open)
      : (["pipe", "pipe"] as const)
    const child = spawn(options.program, options.parameters, {
      stdio: ["ignore", stdout, stderr],
      detached: true,
      env: options.environment
    })
    for (const stream of [child.stdout, child.stderr]) if (stream !== null) streams.push(stream)
    return follow(child, streams, options.output)
  } catch (cause) {
    for (const stream of streams) stream.destroy()
    throw cause
  } finally {
    // The end of a stream is seen only when nobody else could write to it.
    for (const writeEnd of writeEnds) fs.closeSync(writeEnd)
  }
}

const follow = (child: ChildProcess, streams: ReadonlyArray<Readable>, output: AgentOutput): AgentChild => {
  const exit = Deferred.unsafeMake<AgentExit, unknown>(FiberId.none)
  const drained = Deferred.unsafeMake<void>(FiberId.none)
  const paused = new Set<Readable>()
  const open = new Set(streams)
  const closed = (stream: Readable) => {
    open.delete(stream)
    paused.delete(stream)
    if (open.size === 0) Deferred.unsafeDone(drained, Exit.void)
  }
  let exited = false
  child.once("exit", (code, signal) => {
    exited = true
    Deferred.unsafeDone(exit, Exit.succeed({ code, signal }))
  })
  child.once("error", (cause) => Deferred.unsafeDone(exit, Exit.fail(cause)))
  streams.forEach((stream, index) => {
    const name = index === 0 ? "stdout" : "stderr"
    const resume = () => {
      paused.delete(stream)
      stream.resume()
    }
    // A pipe that can't be read on has no more to say.
    stream.on("error", () => stream.destroy())
    stream.once("close", () => closed(stream))
    stream.on("data", (bytes: Buffer) => {
      paused.add(stream)
      // `resume` may be called before `write` returns.
      if (output.write(name, bytes, resume)) paused.delete(stream)
      else if (paused.has(stream)) stream.pause()
    })
  })
  return {
    pid: Option.fromNullable(child.pid),
    exit,
    exited: () => exited,
    drained,
    paused: () => paused.size > 0,
    close: () => {
      for (const stream of streams) stream.destroy()
    }
  }
}
