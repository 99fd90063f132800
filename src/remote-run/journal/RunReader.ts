/** A run's journal as the bytes that one caller sees, read at that caller's pace. */
import type { FileSystem } from "@effect/platform"
import { Clock, Effect, Option, Stream } from "effect"
import type { StorageError } from "../../RelayError.ts"
import { type Verdict, verdictOf } from "../RunEvent.ts"
import type { EventMarks } from "./EventMarks.ts"
import { headerLength, type JournalRecord, Kind, type RecordHeader, recordLength } from "./JournalRecord.ts"
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
  /**
   * How many events the client has, as this format has them for everybody: objects of ndjson and sse, lines of text and
   * raw. Pings are none.
   */
  readonly from?: number | undefined
  /** Only what is said of these nodes, and the events of the run itself. */
  readonly nodes?: ReadonlySet<string> | undefined
  /**
   * Only lines of this stream, also of stderr in text and raw, which have those of stdout otherwise; of none: events alone,
   * whatever lines are kept.
   */
  readonly stream?: "stdout" | "stderr" | "none" | undefined
  /** Only nodes that have ended in one of these ways, and the events of the run itself; wants the order `blocks`. */
  readonly ended?: ReadonlySet<Verdict> | undefined
  /** Where `from` is looked for, in ndjson and sse. */
  readonly marks?: EventMarks | undefined
}

/** A silent run says so after this long. Milliseconds. */
const pingInterval = 15_000
/** What is collected before it is handed on, where there is more. Bytes. */
const batchLength = 32 * 1024

/** So far apart are the marks that are left while `from` is looked for. Bytes. */
const markInterval = 4 * 1024 * 1024

const newline = 0x0a

const nameOf = (record: JournalRecord): string => record.node.toString("latin1")

const streamsOf = (format: RunFormat.RunFormat, stream: ReadOptions["stream"]): ReadonlySet<Kind> => {
  if (stream === undefined) return RunFormat.streamsOf[format]
  return new Set(stream === "none" ? [] : [Kind[stream]])
}

class Reader {
  private position = 0
  /** Events that are still to be stepped over. */
  private skip = 0
  /** What is before this offset was stepped over, or the client has it. */
  private after: number
  private lastMark = 0
  /** Offsets of records to be shown before the reader goes on at `position`: a block, or the parts of a long line. */
  private plan: Array<number> = []
  private planned = 0
  private out: Array<Buffer> = []
  /** Bytes of some of them are the window's. */
  private isBorrowed = false
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
  private readonly streams: ReadonlySet<Kind>
  /** ndjson and sse have the same events. */
  private readonly marks: EventMarks | undefined

  constructor(source: JournalSource, window: JournalWindow.JournalWindow, options: ReadOptions, now: number) {
    this.source = source
    this.window = window
    this.options = options
    this.lastLine = now
    const { format, stream, after, from = 0 } = options
    this.streams = streamsOf(format, stream)
    this.marks = format === "ndjson" || format === "sse" ? options.marks : undefined
    // A block is shown whole, or not at all: see `meet`.
    this.after = options.order === "live" ? after : 0
    if (from > 0) this.skipFrom(from)
  }

  /** Begins at the last place that is known to be before them. */
  private skipFrom(from: number): void {
    const { events, offset } = this.marks?.before(from) ?? { events: 0, offset: 0 }
    this.skip = from - events
    this.position = offset
    this.lastMark = offset
    this.after = Math.max(this.after, offset)
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
    const bytes = this.own()
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
      // Its header says whether it is to be looked at here: most of a block's records are not.
      if (this.planned >= this.plan.length && this.stepOver(at)) continue
      const record = this.window.record(at)
      if (record === undefined) {
        yield* this.load(at)
      } else if (this.planned < this.plan.length) {
        this.planned++
        this.emitPlanned(record, at)
      } else {
        yield* this.meet(record, at)
      }
    }
  })

  /** Steps over what is shown later, or is had already, without reading it. */
  private stepOver(at: number): boolean {
    const header = this.window.header(at)
    if (header === undefined || this.skip > 0) return false
    const isHad = this.options.order === "live" && at + recordLength(header) <= this.after
    if (!isHad && !this.deferred(header)) return false
    this.position = at + recordLength(header)
    return true
  }

  private deferred(header: RecordHeader): boolean {
    if (this.options.order === "blocks")
      return header.kind === Kind.start || header.kind === Kind.stdout || header.kind === Kind.stderr
    return this.isRawLines(header) && header.open
  }

  /** raw: lines of one node at a time, so that the parts of a long one wait for its end. */
  private isRawLines({ kind }: RecordHeader): boolean {
    const { format, single, order } = this.options
    return order === "live" && format === "raw" && !single && this.streams.has(kind)
  }

  private meet(record: JournalRecord, at: number): Effect.Effect<void, StorageError> {
    this.position = at + recordLength(record)
    this.done = record.kind === Kind.done
    if (this.skip > 0 && this.passOver(record, at)) return Effect.void
    if (this.deferred(record) || !this.isWanted(record)) return Effect.void
    if (this.options.order === "blocks" && (record.kind === Kind.end || record.kind === Kind.passed))
      return this.position > this.options.after ? this.makePlan(record, at, () => false) : Effect.void
    const endsLine = record.continued && at + headerLength + record.nodeLength >= this.after
    if (this.isRawLines(record) && endsLine)
      return this.makePlan(record, at, (part) => this.streams.has(part.kind) && !part.continued)
    this.emit(record, at, Math.max(this.after, this.options.after))
    return Effect.void
  }

  /** Counts the events of a record that the client has. False: there are more in it. */
  private passOver(record: JournalRecord, at: number): boolean {
    const { format, from = 0 } = this.options
    const count = RunFormat.eventsIn(format, record)
    const isAll = count <= this.skip
    this.after = isAll ? this.position : RunFormat.behindEvents(record, at, this.skip)
    const place = isAll ? this.position : at
    if (isAll) this.skip -= count
    if (!isAll || this.skip === 0 || place - this.lastMark >= markInterval) {
      this.marks?.leave({ events: from - this.skip, offset: place })
      this.lastMark = place
    }
    if (!isAll) this.skip = 0
    return isAll
  }

  /** Whether the caller wants to see what is said of this node, and, where that counts, of how it ended. */
  private isWanted(record: JournalRecord): boolean {
    const { nodes, ended } = this.options
    if (record.nodeLength === 0) return true
    if (nodes !== undefined && !nodes.has(nameOf(record))) return false
    return (
      ended === undefined ||
      (record.kind === Kind.end && ended.has(verdictOf(record.payload.toString("utf8"))))
    )
  }

  /** Follows the node's records back, until there are no more or `first` holds; they are emitted in order, `last` behind them. */
  private makePlan(
    last: JournalRecord,
    at: number,
    first: (record: JournalRecord) => boolean
  ): Effect.Effect<void, StorageError> {
    const { kind } = last
    const isOutput = kind === Kind.stdout || kind === Kind.stderr
    const node = nameOf(last)
    const offsets = [at]
    const planned = Effect.sync(() => {
      this.plan = offsets.reverse()
      this.planned = 0
    })
    const follow = (from: number, behind: number): Effect.Effect<void, StorageError> => {
      let before = behind
      let previous = from
      // What a damaged record says may be no offset at all.
      while (Number.isInteger(previous) && previous > 0 && previous < before) {
        const record = this.window.record(previous)
        if (record === undefined) {
          const missing = previous
          return Effect.flatMap(this.load(missing), () => follow(missing, before))
        }
        if (nameOf(record) !== node) break
        if (!isOutput || record.kind === kind) offsets.push(previous)
        if (first(record)) break
        before = previous
        previous = record.previous
      }
      return planned
    }
    return follow(last.previous, at)
  }

  /**
   * A line that was cut is shown whole where its end is. sse: a client that has a part of a block gets all of it again, so
   * that only its last event has an id.
   */
  private emitPlanned(record: JournalRecord, at: number): void {
    const isBlock = this.options.order === "blocks"
    this.emit(record, at, isBlock ? this.after : 0, !isBlock || this.planned === this.plan.length)
  }

  private emit(record: JournalRecord, at: number, after: number, ids = true): void {
    const { format } = this.options
    const parts = RunFormat.encode(format, record, at, { after, streams: this.streams, ids })
    if (format === "raw" && parts.length > 0) this.separate(record)
    for (const bytes of parts) {
      this.out.push(bytes)
      this.isBorrowed ||= bytes.buffer === record.payload.buffer
      this.size += bytes.length
    }
  }

  /** What was collected, in one piece that is nobody else's. */
  private own(): Buffer {
    const [only] = this.out
    const bytes =
      only !== undefined && this.out.length === 1 && !this.isBorrowed ? only : Buffer.concat(this.out)
    this.out = [bytes]
    this.isBorrowed = false
    return bytes
  }

  /** Fills the window anew, whose bytes may be among those that were collected. */
  private load(at: number): Effect.Effect<void, StorageError> {
    if (this.isBorrowed) this.own()
    return this.window.load(at)
  }

  /** raw: a last line without a newline gets one where another node's output follows. */
  private separate(record: JournalRecord): void {
    const node = nameOf(record)
    if (this.unterminated !== undefined && this.unterminated !== node) {
      this.out.push(Buffer.from("\n"))
      this.size += 1
    }
    this.unterminated = record.payload.at(-1) === newline ? undefined : node
  }
}

/** The run from its start (or behind `after` and `from`) to its end; it follows a run that goes on. */
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
