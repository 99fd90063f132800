/** One node's part in a run, written to the run's journal: its start, its output, and exactly one end. */
import type { AgentOutput } from "../agents/AgentProcess.ts"
import { type NodeEnding, type NodeOutcome, seconds, shorten } from "../RunEvent.ts"
import { Kind } from "./JournalRecord.ts"
import type { Journal } from "./JournalSource.ts"
import { OutputLines, type Piece } from "./OutputLines.ts"

/** The end of stderr that an `end` event carries. Bytes. */
const maxStderr = 64 * 1024

/** Whose part it is, and how much of its output is kept. */
export interface NodeLogOptions {
  readonly journal: Journal
  readonly node: string
  /** Whether the run keeps output lines. */
  readonly keep: boolean
  /** Bytes of output that are kept. */
  readonly outputLimit: number
  /** When the node's part began. Milliseconds since 1970. */
  readonly started: number
}

/** The last bytes of a stream. */
class Tail {
  private parts: Array<Uint8Array> = []
  private length = 0
  truncated = false

  push(bytes: Uint8Array): void {
    this.parts.push(Uint8Array.prototype.slice.call(bytes.subarray(Math.max(0, bytes.length - maxStderr))))
    this.truncated ||= this.length + bytes.length > maxStderr
    this.length += Math.min(bytes.length, maxStderr)
    while (this.length - (this.parts[0]?.length ?? 0) >= maxStderr)
      this.length -= this.parts.shift()?.length ?? 0
    if (this.parts.length > 64) this.parts = [Buffer.concat(this.parts)]
  }

  text(): string {
    if (this.length === 0) return ""
    const bytes = Buffer.concat(this.parts)
    let from = Math.max(0, bytes.length - maxStderr)
    // Not in the middle of a UTF-8 character, where the cut made one.
    while (from > 0 && from < bytes.length && ((bytes[from] ?? 0) & 0xc0) === 0x80) from++
    return bytes.toString("utf8", from)
  }
}

/** The writer of one node's part. Nothing is written behind its end. */
export class NodeLog implements AgentOutput {
  private readonly options: NodeLogOptions
  private readonly lines = { stdout: new OutputLines(), stderr: new OutputLines() }
  private readonly stderr = new Tail()
  private readonly account = { dropped: 0 }
  private kept = 0
  private previous = 0
  private ended = false

  constructor(options: NodeLogOptions) {
    this.options = options
  }

  start(hostname: string): void {
    const { journal, node } = this.options
    this.previous = journal.event(Kind.start, node, { event: "start", node, hostname }, 0)
  }

  readonly write = (stream: "stdout" | "stderr", bytes: Uint8Array, resume: () => void): boolean => {
    if (this.ended) return true
    if (stream === "stderr") this.stderr.push(bytes)
    if (!this.options.keep) return true
    const room = Math.max(0, this.options.outputLimit - this.kept)
    const kept = bytes.subarray(0, room)
    this.kept += kept.length
    this.account.dropped += bytes.length - kept.length
    if (kept.length > 0) this.append(stream, this.lines[stream].push(kept))
    return this.options.journal.accepting(resume)
  }

  /** Writes the end, once; what is left of unfinished lines goes before it. */
  end(ending: NodeEnding, now: number): NodeOutcome | undefined {
    if (this.ended) return undefined
    for (const stream of ["stdout", "stderr"] as const) this.append(stream, this.lines[stream].end())
    this.ended = true
    const { code, ...why } = ending
    const { dropped = 0, truncated, duration, stderr, error, ...reason } = why
    const lost = dropped + this.account.dropped
    const outcome: NodeOutcome = {
      code,
      ...reason,
      ...(error === undefined ? {} : { error: { ...error, message: shorten(error.message) } }),
      duration: duration ?? seconds(now - this.options.started),
      stderr: stderr ?? this.stderr.text(),
      ...(this.stderr.truncated || truncated === true || lost > 0 ? { truncated: true as const } : {}),
      ...(lost > 0 ? { dropped: lost } : {})
    }
    const { journal, node } = this.options
    journal.event(Kind.end, node, { event: "end", node, ...outcome }, this.previous)
    return outcome
  }

  /** Ends the lines of a sub-relay that does not say which node printed them: their end is a mark, and not an event. */
  close(): void {
    if (this.ended) return
    for (const stream of ["stdout", "stderr"] as const) this.append(stream, this.lines[stream].end())
    this.ended = true
    const { journal, node } = this.options
    if (this.previous > 0) journal.event(Kind.passed, node, {}, this.previous)
  }

  /** Bytes of output that were not kept. */
  get dropped(): number {
    return this.account.dropped
  }

  private append(stream: "stdout" | "stderr", pieces: ReadonlyArray<Piece>): void {
    const { journal, node } = this.options
    const kind = stream === "stdout" ? Kind.stdout : Kind.stderr
    for (const piece of pieces)
      this.previous = journal.output(kind, node, piece.bytes, piece, this.previous, this.account)
  }
}
