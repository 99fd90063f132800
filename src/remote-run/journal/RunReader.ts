/** A run's journal as the bytes that one caller sees, read at that caller's pace. */
import type { FileSystem } from "@effect/platform"
import { Clock, Effect, Option, Stream } from "effect"
import type { StorageError } from "../../RelayError.ts"
import { type JournalRecord, Kind, recordLength } from "./JournalRecord.ts"
import type { JournalSource } from "./JournalSource.ts"
import * as JournalWindow from "./JournalWindow.ts"
import * as RunFormat from "./RunFormat.ts"

/** How a caller wants to see a run. */
export interface ReadOptions {
  readonly format: RunFormat.RunFormat
  /**
   * - `live`: everything in the order in which it happened, lines of all nodes interleaved.
   * - `blocks`: each node's part in one piece, in the order in which the nodes end.
   */
  readonly order: "live" | "blocks"
  /** The run has one node: parts of its lines need not wait for the whole line in raw. */
  readonly single: boolean
  /** The last event id that the client has (sse); 0: from the start. */
  readonly after: number
}

/** A silent run says so after this long. Milliseconds. */
const pingInterval = 15_000
/** What is collected before it is handed on, where there is more. Bytes. */
const batchLength = 32 * 1024

const newline = 0x0a

class Reader {
  private position = 0
  /** Offsets of records to be shown before the reader goes on at `position`: a block, or the parts of a long line. */
  private plan: Array<number> = []
  private planned = 0
  private out: Array<Buffer> = []
  private size = 0
  /** raw: the node whose last line is still without its newline. */
  private unterminated: string | undefined
  private lastLine: number
  private isPingDue = false
  /** While the reader waits for more. */
  private wake: (() => void) | undefined
  private done = false

  private readonly source: JournalSource
  private readonly window: JournalWindow.JournalWindow
  private readonly options: ReadOptions

  constructor(source: JournalSource, window: JournalWindow.JournalWindow, options: ReadOptions, now: number) {
    this.source = source
    this.window = window
    this.options = options
    this.lastLine = now
  }

  /** The next bytes; fails with None at the end of the run. */
  readonly next: Effect.Effect<Buffer, Option.Option<StorageError>> = Effect.gen(this, function* () {
    while (true) {
      yield* Effect.mapError(this.collect, Option.some)
      if (this.size > 0) return yield* this.take
      if (!this.done && this.position < this.source.length()) continue
      if (this.done || this.source.ended()) return yield* Effect.fail(Option.none())
      yield* this.waitForMore
      const ping = this.isPingDue ? RunFormat.ping[this.options.format] : undefined
      this.isPingDue = false
      if (ping !== undefined) return ping
    }
  })

  /** For as long as the run is read: wakes the reader when nothing has come for so long. One fiber, since lines are many. */
  readonly pings: Effect.Effect<never> = Effect.gen(this, function* () {
    const now = yield* Clock.currentTimeMillis
    const left = this.lastLine + pingInterval - now
    if (left > 0) return yield* Effect.sleep(left)
    this.lastLine = now
    // One that is not waiting has something to send.
    if (this.wake === undefined) return
    this.isPingDue = true
    this.wake()
  }).pipe(Effect.forever)

  private readonly take = Effect.gen(this, function* () {
    const bytes = Buffer.concat(this.out)
    this.out = []
    this.size = 0
    this.lastLine = yield* Clock.currentTimeMillis
    return bytes
  })

  private readonly waitForMore = Effect.async<void>((resume) => {
    const stop = () => {
      this.wake = undefined
      forget()
    }
    const wake = () => {
      stop()
      resume(Effect.void)
    }
    let forget = () => {}
    this.wake = wake
    forget = this.source.whenGrown(this.position, wake)
    return Effect.sync(stop)
  })

  /** Encodes records until there is a batch, or no more to read for now. */
  private readonly collect = Effect.gen(this, function* () {
    while (this.size < batchLength) {
      const at = this.plan[this.planned] ?? this.position
      if (this.planned >= this.plan.length && this.position >= this.source.length()) return
      const record = this.window.record(at)
      if (record === undefined) {
        const isSteppedOver = this.planned >= this.plan.length && this.stepOver(at)
        if (!isSteppedOver) yield* this.window.load(at)
      } else if (this.planned < this.plan.length) {
        this.planned++
        this.emit(record, at)
      } else {
        yield* this.meet(record, at)
      }
    }
  })

  /** Steps over output that is shown later, without reading it. */
  private stepOver(at: number): boolean {
    const header = this.window.header(at)
    if (header === undefined || !this.deferred(header)) return false
    this.position = at + recordLength(header)
    return true
  }

  private deferred(header: { readonly kind: Kind; readonly open: boolean }): boolean {
    if (this.options.order === "blocks")
      return header.kind === Kind.start || header.kind === Kind.stdout || header.kind === Kind.stderr
    return this.options.format === "raw" && !this.options.single && header.kind === Kind.stdout && header.open
  }

  private meet(record: JournalRecord, at: number): Effect.Effect<void, StorageError> {
    this.position = at + recordLength(record)
    if (this.deferred(record)) return Effect.void
    const block = this.options.order === "blocks" && (record.kind === Kind.end || record.kind === Kind.passed)
    const lineEnd =
      this.options.order === "live" &&
      this.options.format === "raw" &&
      !this.options.single &&
      record.kind === Kind.stdout &&
      record.continued
    if (block) return this.makePlan(record, at, () => false)
    if (lineEnd) return this.makePlan(record, at, (part) => part.kind === Kind.stdout && !part.continued)
    this.emit(record, at)
    this.done = record.kind === Kind.done
    return Effect.void
  }

  /** Follows the node's records back, until there are no more or `first` holds; they are emitted in order, `last` behind them. */
  private makePlan(
    last: JournalRecord,
    at: number,
    first: (record: JournalRecord) => boolean
  ): Effect.Effect<void, StorageError> {
    return Effect.gen(this, function* () {
      const { kind } = last
      const node = last.node.toString("latin1")
      const offsets = [at]
      let before = at
      let previous = last.previous
      while (previous > 0 && previous < before) {
        if (this.window.record(previous) === undefined) yield* this.window.load(previous)
        const record = this.window.record(previous)
        if (record === undefined || record.node.toString("latin1") !== node) break
        if (kind !== Kind.stdout || record.kind === Kind.stdout) offsets.push(previous)
        if (first(record)) break
        before = previous
        previous = record.previous
      }
      this.plan = offsets.reverse()
      this.planned = 0
    })
  }

  private emit(record: JournalRecord, at: number): void {
    if (this.options.format === "raw" && record.kind === Kind.stdout) this.separate(record)
    for (const bytes of RunFormat.encode(this.options.format, record, at, this.options.after)) {
      // The bytes may be the window's, which is filled anew before they are sent.
      this.out.push(Buffer.from(bytes))
      this.size += bytes.length
    }
  }

  /** raw: a last line without a newline gets one where another node's output follows. */
  private separate(record: JournalRecord): void {
    const node = record.node.toString("latin1")
    if (this.unterminated !== undefined && this.unterminated !== node) {
      this.out.push(Buffer.from("\n"))
      this.size += 1
    }
    this.unterminated = record.payload.at(-1) === newline ? undefined : node
  }
}

/** The run from its start (or behind `after`) to its end; it follows a run that goes on. */
export const stream = (
  source: JournalSource,
  options: ReadOptions
): Stream.Stream<Uint8Array, StorageError, FileSystem.FileSystem> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const window = yield* JournalWindow.open(source)
      const reader = new Reader(source, window, options, yield* Clock.currentTimeMillis)
      yield* Effect.forkScoped(reader.pings)
      return Stream.repeatEffectOption(reader.next)
    })
  )
