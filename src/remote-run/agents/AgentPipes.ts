/** What an agent prints, read from its two pipes. A class, since agents are many, and short. */
import { Socket } from "node:net"
import type { Readable } from "node:stream"
import type { AgentOutput } from "./AgentProcess.ts"
import type { FifoPair, FifoReader } from "./Fifo.ts"

type StreamName = "stdout" | "stderr"

/** What is read. */
interface Source {
  readonly resume: () => void
  readonly unref: () => void
  /** Closes it, read or not. */
  readonly close: () => void
}

/** One of the pipes. */
class Pipe implements FifoReader {
  private readonly name: StreamName
  private readonly pipes: AgentPipes
  /** Undefined once it is over: a FIFO is another agent's then. */
  source: Source | undefined
  isPaused = false
  isAtEnd = false

  constructor(name: StreamName, pipes: AgentPipes) {
    this.name = name
    this.pipes = pipes
  }

  readonly resume = (): void => {
    if (!this.isPaused) return
    this.isPaused = false
    this.source?.resume()
  }

  /** False: no more until it is resumed. */
  take(bytes: Buffer): boolean {
    if (this.pipes.isDiscarding) return true
    this.isPaused = true
    // `resume` may be called before `write` returns.
    if (this.pipes.output.write(this.name, bytes, this.resume)) this.isPaused = false
    return !this.isPaused
  }

  over(atEnd: boolean): void {
    if (this.isAtEnd) return
    this.isAtEnd = true
    this.isPaused = false
    this.source = undefined
    this.pipes.over(atEnd)
  }
}

/** Both pipes of an agent. */
export class AgentPipes {
  readonly output: AgentOutput
  isDiscarding = false
  private readonly onDrained: (atEnd: boolean) => void
  readonly stdout = new Pipe("stdout", this)
  readonly stderr = new Pipe("stderr", this)
  private atEnd = true

  /** @param onDrained once both have been read to their end, or closed, and whether it was the end of both */
  constructor(output: AgentOutput, onDrained: (atEnd: boolean) => void) {
    this.output = output
    this.onDrained = onDrained
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
    for (const { source } of [this.stdout, this.stderr]) {
      source?.resume()
      source?.unref()
    }
  }

  close(): void {
    for (const { source } of [this.stdout, this.stderr]) source?.close()
  }

  /** For the pipes: one is over. */
  over(atEnd: boolean): void {
    this.atEnd &&= atEnd
    if (this.isDrained) this.onDrained(this.atEnd)
  }
}

/**
 * Reads FIFOs that somebody has open for writing, or had since an agent had them before.
 *
 * @param onDrained as of `AgentPipes`
 */
export const ofFifos = (
  { stdout, stderr }: FifoPair,
  output: AgentOutput,
  onDrained: (atEnd: boolean) => void
): AgentPipes => {
  const pipes = new AgentPipes(output, onDrained)
  pipes.stdout.source = stdout
  pipes.stderr.source = stderr
  stdout.read(pipes.stdout)
  stderr.read(pipes.stderr)
  return pipes
}

/** Reads the pipes that node makes itself. */
export const ofStreams = (
  [stdout, stderr]: readonly [Readable, Readable],
  output: AgentOutput,
  onDrained: () => void
): AgentPipes => {
  const pipes = new AgentPipes(output, onDrained)
  for (const [stream, pipe] of [
    [stdout, pipes.stdout],
    [stderr, pipes.stderr]
  ] as const) {
    pipe.source = {
      resume: () => stream.resume(),
      unref: () => stream instanceof Socket && stream.unref(),
      close: () => stream.destroy()
    }
    stream.on("data", (bytes: Buffer) => {
      if (!pipe.take(bytes)) stream.pause()
    })
    // A pipe that can't be read on has no more to say.
    stream.on("error", () => stream.destroy())
    // It closes some turns of the event loop after its end.
    stream.on("end", () => pipe.over(true))
    stream.on("close", () => pipe.over(false))
  }
  return pipes
}
