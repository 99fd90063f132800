/** What an agent prints, read from its two pipes. A class, since agents are many, and short. */
import * as fs from "node:fs"
import { type ConnectOpts, Socket, type SocketConstructorOpts } from "node:net"
import type { Readable } from "node:stream"
import type { AgentOutput } from "./AgentProcess.ts"
import * as SpawnFailure from "./SpawnFailure.ts"

type StreamName = "stdout" | "stderr"

/** All FIFOs are read into this buffer: what was read is handed on before the next read, and whoever keeps it copies it. */
const buffer = Buffer.allocUnsafeSlow(64 * 1024)

/** One of the pipes. */
class Pipe {
  private readonly name: StreamName
  private readonly pipes: AgentPipes
  stream: Readable | undefined
  isPaused = false
  isAtEnd = false

  constructor(name: StreamName, pipes: AgentPipes) {
    this.name = name
    this.pipes = pipes
  }

  readonly resume = (): void => {
    if (!this.isPaused) return
    this.isPaused = false
    this.stream?.resume()
  }

  /** False: no more until it is resumed. */
  take(bytes: Buffer): boolean {
    if (this.pipes.isDiscarding) return true
    this.isPaused = true
    // `resume` may be called before `write` returns.
    if (this.pipes.output.write(this.name, bytes, this.resume)) this.isPaused = false
    return !this.isPaused
  }

  follow(stream: Readable): void {
    this.stream = stream
    // A pipe that can't be read on has no more to say.
    stream.on("error", () => stream.destroy())
    // It closes some turns of the event loop after its end.
    stream.on("end", () => this.over())
    stream.on("close", () => {
      this.pipes.closed(stream.readableEnded)
      this.over()
    })
  }

  private over(): void {
    if (this.isAtEnd) return
    this.isAtEnd = true
    this.isPaused = false
    this.pipes.drained()
  }
}

/** Both pipes of an agent. */
export class AgentPipes {
  readonly output: AgentOutput
  isDiscarding = false
  private readonly onDrained: () => void
  private readonly onClose: (atEnd: boolean) => void
  readonly stdout = new Pipe("stdout", this)
  readonly stderr = new Pipe("stderr", this)
  private open = 2
  private atEnd = true

  constructor(output: AgentOutput, onDrained: () => void, onClose: (atEnd: boolean) => void) {
    this.output = output
    this.onDrained = onDrained
    this.onClose = onClose
  }

  /** Both have been read to their end, or closed. */
  get isDrained(): boolean {
    return this.stdout.isAtEnd && this.stderr.isAtEnd
  }

  /** One waits for its reader rather than for its writer. */
  get isPaused(): boolean {
    return this.stdout.isPaused || this.stderr.isPaused
  }

  /** From now on what comes is read and dropped, and does not keep the relay's process alive. */
  discard(): void {
    this.isDiscarding = true
    for (const { stream } of [this.stdout, this.stderr]) {
      stream?.resume()
      if (stream instanceof Socket) stream.unref()
    }
  }

  close(): void {
    for (const { stream } of [this.stdout, this.stderr]) stream?.destroy()
  }

  /** For the pipes: one is at its end. */
  drained(): void {
    if (this.isDrained) this.onDrained()
  }

  /** For the pipes: one is closed, and whether it was read to its end. */
  closed(atEnd: boolean): void {
    this.atEnd &&= atEnd
    if (--this.open === 0) this.onClose(this.atEnd)
  }
}

const readFifo = (fd: number, pipe: Pipe): Readable => {
  const callback = (length: number) => pipe.take(buffer.subarray(0, length))
  const options: SocketConstructorOpts & ConnectOpts = {
    fd,
    readable: true,
    writable: false,
    onread: { buffer, callback }
  }
  return new Socket(options).resume()
}

/**
 * Reads FIFOs that somebody has open for writing.
 *
 * @param onDrained once both have been read to their end, or closed
 * @param onClose once neither is open any more, with whether both were read to their end
 */
export const ofFifos = (
  [stdout, stderr]: readonly [number, number],
  output: AgentOutput,
  onDrained: () => void,
  onClose: (atEnd: boolean) => void
): AgentPipes => {
  const pipes = new AgentPipes(output, onDrained, onClose)
  pipes.stdout.follow(readFifo(stdout, pipes.stdout))
  pipes.stderr.follow(readFifo(stderr, pipes.stderr))
  return pipes
}

/** Reads the pipes that node makes itself. */
export const ofStreams = (
  [stdout, stderr]: readonly [Readable, Readable],
  output: AgentOutput,
  onDrained: () => void
): AgentPipes => {
  const pipes = new AgentPipes(output, onDrained, () => {})
  for (const [stream, pipe] of [
    [stdout, pipes.stdout],
    [stderr, pipes.stderr]
  ] as const) {
    stream.on("data", (bytes: Buffer) => {
      if (!pipe.take(bytes)) stream.pause()
    })
    pipe.follow(stream)
  }
  return pipes
}

/** Whether somebody holds the other end of a FIFO, or has written to it; what was written is handed on. */
export const isUsed = (end: number, write: (bytes: Buffer) => void): boolean => {
  try {
    const length = fs.readSync(end, buffer)
    if (length > 0) write(buffer.subarray(0, length))
    return length > 0
  } catch (cause) {
    return SpawnFailure.from(cause).code === "EAGAIN"
  }
}
