/**
 * A sub-relay's events, taken into the run of which they are a part. What it says is taken with care: nodes that were
 * not asked for, ends that are not the first, and lines that say nothing are passed over.
 */
import { Option, Schema } from "effect"
import type { NodeEnding } from "../journal/NodeLog.ts"
import { NodeEnded, NodeStarted, RunStarted } from "../RunEvent.ts"
import { RunId } from "../RunId.ts"
import type { SubRelayNode } from "./SubRelays.ts"

const Output = Schema.Struct({
  node: Schema.String,
  stream: Schema.Literal("stdout", "stderr"),
  line: Schema.String,
  base64: Schema.optional(Schema.String),
  partial: Schema.optional(Schema.Boolean),
  unterminated: Schema.optional(Schema.Boolean)
})

const isOutput = Schema.is(Output)
const isRunId = Schema.is(RunId)
const decodeRun = Schema.decodeUnknownOption(RunStarted)
const decodeStart = Schema.decodeUnknownOption(NodeStarted)
const decodeEnd = Schema.decodeUnknownOption(NodeEnded)

/** Of what a sub-relay says of stderr. Characters. */
const maxStderr = 64 * 1024
const newline = Buffer.from("\n")
const noBytes = Buffer.alloc(0)

const bytesOf = ({ line, base64, partial, unterminated }: typeof Output.Type): ReadonlyArray<Buffer> => [
  base64 === undefined ? Buffer.from(line) : Buffer.from(base64, "base64"),
  partial === true || unterminated === true ? noBytes : newline
]

export interface MergeOptions {
  /** The sub-relay's id. */
  readonly relay: string
  readonly nodes: ReadonlyArray<string>
  readonly report: (node: string) => SubRelayNode
  /** The sub-relay's own id of the run is known now. */
  readonly onRun: (id: RunId) => void
  /** Called when more can be taken, after `take` said that it could not. */
  readonly resume: () => void
}

interface PendingOutput {
  readonly node: string
  readonly stream: "stdout" | "stderr"
  readonly parts: Array<Buffer>
}

export class RunMerge {
  /** The sub-relay has said that its run is over. */
  done = false
  private readonly open: Set<string>
  private readonly options: MergeOptions
  private pending: PendingOutput | undefined
  private accepting = true

  constructor(options: MergeOptions) {
    this.options = options
    this.open = new Set(options.nodes)
  }

  /** Takes some lines. False: no more until `resume` is called. */
  take(lines: ReadonlyArray<Buffer>): boolean {
    this.accepting = true
    for (const line of lines) if (!this.done) this.meet(line)
    this.flush()
    return this.accepting
  }

  /** Every node that has no end yet gets this one. */
  endAll(ending: NodeEnding): void {
    for (const node of this.open) this.end(node, ending)
  }

  /** Reports nothing any more. What the sub-relay says of its run is heard all the same. */
  close(): void {
    this.pending = undefined
    this.open.clear()
  }

  private meet(line: Buffer): void {
    const event = parse(line)
    const kind = event?.event
    if (kind === "output") {
      if (isOutput(event)) this.output(event)
      return
    }
    this.flush()
    if (kind === "run") this.meetRun(decodeRun(event))
    if (kind === "start") this.meetStart(decodeStart(event))
    if (kind === "end") this.meetEnd(decodeEnd(event))
    if (kind === "done") this.done = true
  }

  private meetRun(run: Option.Option<RunStarted>): void {
    if (Option.isNone(run)) return
    const { id, unknown } = run.value
    if (isRunId(id)) this.options.onRun(id)
    const message = `sub-relay ${this.options.relay} does not know this node`
    for (const node of unknown) this.end(node, { code: null, error: { _tag: "UnknownTarget", message } })
  }

  private meetStart(start: Option.Option<NodeStarted>): void {
    if (Option.isSome(start) && this.open.has(start.value.node))
      this.options.report(start.value.node).start(start.value.hostname)
  }

  private meetEnd(end: Option.Option<NodeEnded>): void {
    if (Option.isNone(end)) return
    const { event: _, node, stderr, ...ending } = end.value
    this.end(node, { ...ending, stderr: stderr.slice(-maxStderr) })
  }

  private end(node: string, ending: NodeEnding): void {
    if (this.open.delete(node)) this.options.report(node).end(ending)
  }

  /** Lines of one stream that follow each other are written at once. */
  private output(line: typeof Output.Type): void {
    const { node, stream } = line
    if (this.pending?.node !== node || this.pending.stream !== stream) {
      this.flush()
      this.pending = { node, stream, parts: [] }
    }
    this.pending.parts.push(...bytesOf(line))
  }

  private flush(): void {
    const pending = this.pending
    this.pending = undefined
    if (pending === undefined || !this.open.has(pending.node)) return
    const node = this.options.report(pending.node)
    if (!node.write(pending.stream, Buffer.concat(pending.parts), this.options.resume)) this.accepting = false
  }
}

const parse = (line: Buffer): { readonly event?: unknown } | undefined => {
  try {
    const value: unknown = JSON.parse(line.toString("utf8"))
    return typeof value === "object" && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
