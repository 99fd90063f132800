/**
 * A sub-relay's events, taken into the run of which they are a part. What it says is taken with care: nodes that were
 * not asked for and ends that are not the first are ignored; an end that can't be read is the node's end, with the
 * error; anything else that can't be read is ignored and counted.
 */
import { Either, ParseResult, Schema } from "effect"
import { NodeEnded, type NodeEnding, NodeStarted } from "../RunEvent.ts"
import { RunId } from "../RunId.ts"
import type { SubRelayNode } from "./SubRelays.ts"

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

const Output = Schema.Struct({
  node: Schema.String,
  stream: Schema.Literal("stdout", "stderr"),
  line: Schema.String,
  base64: Schema.optional(
    Schema.String.pipe(Schema.filter((text) => base64.test(text), { message: () => "expected base64" }))
  ),
  partial: Schema.optional(Schema.Boolean),
  unterminated: Schema.optional(Schema.Boolean)
})

/** Of the first event: what is asked about it here. */
const Run = Schema.Struct({ id: RunId, unknown: Schema.Array(Schema.String) })

const isOutput = Schema.is(Output)
const decodeOutput = Schema.decodeUnknownEither(Output)
const decodeRun = Schema.decodeUnknownEither(Run)
const decodeStart = Schema.decodeUnknownEither(NodeStarted)
const decodeEnd = Schema.decodeUnknownEither(NodeEnded)

/** Of a problem: enough to see what it is. Characters. */
const maxProblem = 200

const problemOf = (error: ParseResult.ParseError): string => {
  const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
  const path = issue?.path.map(String).join(".") ?? ""
  return `${path === "" ? "" : `${path}: `}${issue?.message ?? error.message}`.slice(0, maxProblem)
}

/** Of what a sub-relay says of stderr. Characters. */
const maxStderr = 64 * 1024
const newline = Buffer.from("\n")
const noBytes = Buffer.alloc(0)

const bytesOf = ({ line, base64, partial, unterminated }: typeof Output.Type): ReadonlyArray<Buffer> => [
  base64 === undefined ? Buffer.from(line) : Buffer.from(base64, "base64"),
  partial === true || unterminated === true ? noBytes : newline
]

/** Which nodes were asked for, and where what is said of them goes. */
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

/** The events of one call, taken as they come, over one stream or several. Every node gets at most one end. */
export class RunMerge {
  /** The sub-relay has said that its run is over. */
  done = false
  /** Under which id the order runs there. */
  run: RunId | undefined
  /** Events that came, pings not counted: what follows them has not come yet. */
  events = 0
  /** What came that had not come before, pings too. */
  news = 0
  /** Another stream begins, of which no event has come. */
  private fresh = false
  /** Events of this stream that came before in another. */
  private known = 0
  private readonly open: Set<string>
  private readonly options: MergeOptions
  private pending: PendingOutput | undefined
  private accepting = true
  /** What was said that can't be read: how often, and what was wrong the first time. */
  private readonly wrong = { count: 0, first: "" }

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

  /** What comes now is from another stream, which was asked for what follows `events`. */
  takeUp(): void {
    this.fresh = true
    this.known = 0
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

  /** How much of what the sub-relay said could not be read, and what was wrong the first time; none: undefined. */
  get unreadable(): { readonly count: number; readonly first: string } | undefined {
    return this.wrong.count === 0 ? undefined : this.wrong
  }

  private meet(line: Buffer): void {
    const event = parse(line)
    const kind = event?.event
    if (line.length === 0 || !this.isNew(kind)) return
    if (kind === "output") {
      if (isOutput(event)) this.output(event)
      else this.read("output", decodeOutput(event), () => {})
      return
    }
    this.flush()
    if (event === undefined) this.note("no JSON object")
    if (kind === "run") this.read("run", decodeRun(event), (run) => this.meetRun(run))
    if (kind === "start") this.read("start", decodeStart(event), (start) => this.meetStart(start))
    if (kind === "end") this.meetEnd(event)
    if (kind === "done") this.done = true
  }

  private note(problem: string): void {
    if (this.wrong.count++ === 0) this.wrong.first = problem
  }

  private read<A>(
    event: string,
    decoded: Either.Either<A, ParseResult.ParseError>,
    meet: (value: A) => void
  ): void {
    if (Either.isRight(decoded)) meet(decoded.right)
    else this.note(`${event}: ${problemOf(decoded.left)}`)
  }

  /** False for a ping, and for what came before: a relay that does not know `from` begins at the start again. */
  private isNew(kind: unknown): boolean {
    if (kind === "ping") {
      this.news++
      return false
    }
    if (this.fresh && kind === "run") this.known = this.events
    this.fresh = false
    if (this.known > 0) {
      this.known--
      return false
    }
    this.events++
    this.news++
    return true
  }

  private meetRun({ id, unknown }: typeof Run.Type): void {
    this.run ??= id
    this.options.onRun(id)
    const message = `sub-relay ${this.options.relay} does not know this node`
    for (const node of unknown) this.end(node, { code: null, error: { _tag: "UnknownTarget", message } })
  }

  private meetStart({ node, hostname }: NodeStarted): void {
    if (this.open.has(node)) this.options.report(node).start(hostname)
  }

  /** A node of which it is said that it ended has ended, even where it can't be read how. */
  private meetEnd(event: { readonly node?: unknown } | undefined): void {
    const decoded = decodeEnd(event)
    if (Either.isRight(decoded)) {
      const { event: _, node, stderr, ...ending } = decoded.right
      const cut = stderr.length > maxStderr ? { truncated: true as const } : {}
      this.end(node, { ...ending, ...cut, stderr: stderr.slice(-maxStderr) })
      return
    }
    const problem = problemOf(decoded.left)
    this.note(`end: ${problem}`)
    const message = `sub-relay ${this.options.relay}: its end of this node can't be read: ${problem}`
    if (typeof event?.node === "string")
      this.end(event.node, { code: null, error: { _tag: "UpstreamFatal", message } })
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

const parse = (line: Buffer): { readonly event?: unknown; readonly node?: unknown } | undefined => {
  try {
    const value: unknown = JSON.parse(line.toString("utf8"))
    return typeof value === "object" && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
