/**
 * The journal of a run that is going on: appended to by its agents, tailed by its readers at their own pace.
 *
 * Appending is synchronous and never waits for a reader. Bytes go to the file in batches, or to one that takes its place;
 * where none can be written, output is dropped and counted, and events stay in memory, so that the run and its callers
 * go on.
 */
import type { FileSystem, Error as PlatformError } from "@effect/platform"
import { Cause, Effect, Exit } from "effect"
import { JournalFiles } from "./JournalFiles.ts"
import type { Kind } from "./JournalRecord.ts"
import type { JournalRoom } from "./JournalRoom.ts"
import type { Journal, JournalPart, OutputAccount, RecordFlags } from "./JournalSource.ts"
import * as Pending from "./PendingRecords.ts"

const noFlags: RecordFlags = { continued: false, open: false }

/**
 * After each write more is collected for so long, since a write costs as much as ten agents' records, and so does each
 * caller's part in it. What comes after a silence is written at once. It is most of how late a line is for its caller where
 * many print: a millisecond more saves a sixth of the work then, and nothing where agents print a line each. Milliseconds.
 */
const moment = 2
/** So much is written at once. Bytes. */
const worthWriting = 32 * 1024

/** What a journal is made with. */
export interface JournalOptions {
  readonly fs: FileSystem.FileSystem
  readonly room: JournalRoom
  /** Runs a write, which must not outlive the daemon. */
  readonly fork: (effect: Effect.Effect<void>) => void
  /** Where the file is while the run goes on, and where it is kept. */
  readonly path: string
  readonly finalPath: string
  /** The folder in which it goes on where its file can't be written. Default: the system's temporary folder. */
  readonly temporary?: string
}

/** A journal whose bytes go to files; `close` ends it. */
export class RunJournal implements Journal {
  private flushing = false
  private readonly files: JournalFiles
  private readonly pending: Pending.PendingRecords
  /** Nothing can be written: events stay in memory, output is dropped. */
  private failed = false
  /** Output was dropped because there was no room, and the log has that. */
  private crowded = false
  private closed = false
  private busy = false
  private reserved = 0
  /** Bytes that are to be written next. */
  private unsent = 0
  /** Ends the moment in which more is waited for. */
  private writeNow = () => {}
  private readonly waiting = new Set<() => void>()
  private readonly options: JournalOptions

  constructor(options: JournalOptions) {
    this.options = options
    this.files = new JournalFiles(options)
    this.pending = new Pending.PendingRecords((offset) => this.files.isWritten(offset))
  }

  readonly partAt = (offset: number): JournalPart => this.files.partAt(offset)
  readonly length = (): number => this.files.length
  readonly ended = (): boolean => this.closed && !this.flushing
  readonly unwritten = (offset: number): Buffer | undefined => this.files.unwritten(offset)

  readonly recent = (offset: number): Buffer | undefined => this.files.recent(offset)

  readonly whenGrown = (length: number, wake: () => void): (() => void) => {
    if (this.length() > length || this.ended()) wake()
    else this.waiting.add(wake)
    return () => this.waiting.delete(wake)
  }

  /** Succeeds when nothing is on its way to the disk. */
  readonly flushed: Effect.Effect<void> = Effect.suspend(() => {
    if (!this.flushing) return Effect.void
    const changed = Effect.async<void>((resume) => {
      const wake = () => resume(Effect.void)
      this.waiting.add(wake)
      this.writeNow()
      return Effect.sync(() => this.waiting.delete(wake))
    })
    return Effect.andThen(changed, this.flushed)
  })

  /** The file stays open from now on: agents are about to print. Until then a waiting run holds no descriptor. */
  keepOpen(): void {
    this.busy = true
  }

  /** Appends an event; `previous` is where the node's record before begins. Gives where this one begins. */
  event(kind: Kind, node: string, json: unknown, previous: number): number {
    const bytes = Buffer.from(JSON.stringify(json))
    return this.append({ kind, node, previous, flags: noFlags, account: undefined }, bytes)
  }

  /** Appends a copy of output. Gives where the record that holds it begins, or `previous` when it was dropped. */
  output(
    kind: Kind,
    node: string,
    bytes: Uint8Array,
    flags: RecordFlags,
    previous: number,
    account: OutputAccount
  ): number {
    if (this.failed || !this.hasRoom(bytes.length)) {
      account.dropped += bytes.length
      return previous
    }
    this.reserved += bytes.length
    const copy = Uint8Array.prototype.slice.call(bytes)
    return this.append({ kind, node, previous, flags, account }, copy)
  }

  /** False when too much is on its way to the disk; then `resume` is called once there is room again. */
  accepting(resume: () => void): boolean {
    return this.failed || this.options.room.accepting(resume)
  }

  /**
   * Writes what is pending, closes the file and moves it to its final place. Nothing is appended after this. False: it is
   * not there, but can be read here until `discard`.
   */
  readonly close: Effect.Effect<boolean> = Effect.gen(this, function* () {
    yield* this.flushed
    const finished = yield* Effect.exit(this.files.finish)
    if (Exit.isFailure(finished))
      yield* Effect.logWarning("the run's history is not where it belongs").pipe(
        Effect.annotateLogs({ file: this.options.path, problem: reasonOf(finished.cause) })
      )
    this.closed = true
    this.options.room.release(this.reserved)
    this.wake()
    return Exit.isSuccess(finished)
  }).pipe(Effect.uninterruptible)

  /** Whether all that is left of it is in files. */
  get isWhole(): boolean {
    return !this.files.isStuck
  }

  /** Lets go of what is in no file that has a name. */
  readonly discard: Effect.Effect<void> = Effect.suspend(() => this.files.discard)

  private hasRoom(bytes: number): boolean {
    if (this.options.room.reserve(bytes)) return true
    if (!this.crowded)
      this.options.fork(
        Effect.logWarning("the runs that go on fill remote_run.max_size; output is dropped").pipe(
          Effect.annotateLogs({ file: this.options.path })
        )
      )
    this.crowded = true
    return false
  }

  private wake(): void {
    const waiting = [...this.waiting]
    this.waiting.clear()
    for (const wake of waiting) wake()
  }

  private append(record: Parameters<Pending.PendingRecords["add"]>[0], bytes: Uint8Array): number {
    const at = this.pending.add(record, bytes)
    this.options.room.enter(bytes.length)
    this.unsent += bytes.length
    if (this.unsent >= worthWriting) this.writeNow()
    if (!this.flushing) {
      this.flushing = true
      this.options.fork(this.flush)
    }
    return at
  }

  private readonly flush: Effect.Effect<void> = Effect.gen(this, function* () {
    while (!this.pending.isEmpty) {
      const batch = this.pending.take()
      this.unsent = 0
      const result = this.failed ? undefined : yield* Effect.exit(this.files.write(Pending.encode(batch)))
      if (result === undefined || Exit.isFailure(result)) yield* this.keepEvents(batch, result?.cause)
      this.options.room.leave(Pending.inBytes(batch))
      this.wake()
      yield* this.moreOrAMoment
    }
    this.files.rest()
    if (!this.busy) yield* this.files.closeIdle
    // Something may have been appended while the file was being closed.
    if (!this.pending.isEmpty) return yield* this.flush
    this.flushing = false
    this.wake()
  }).pipe(Effect.uninterruptible)

  /** Ends when a moment has passed, when there is enough to be written, or when somebody waits until all is. */
  private readonly moreOrAMoment: Effect.Effect<void> = Effect.async((resume) => {
    if (this.unsent >= worthWriting) return resume(Effect.void)
    // Not the Clock's: what is saved is work, whatever time it is said to be.
    const timer = setTimeout(() => this.writeNow(), moment)
    this.writeNow = () => {
      clearTimeout(timer)
      this.writeNow = () => {}
      resume(Effect.void)
    }
  })

  /** Nothing can be written: what is in the files stays, events of this batch go to memory, output is dropped. */
  private keepEvents(
    batch: ReadonlyArray<Pending.PendingRecord>,
    cause: Cause.Cause<PlatformError.PlatformError> | undefined
  ): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      if (cause !== undefined) {
        this.failed = true
        yield* Effect.logWarning("nor can the temporary file be written; the run's output is dropped").pipe(
          Effect.annotateLogs({ file: this.options.path, problem: reasonOf(cause) })
        )
      }
      this.files.remember(this.pending.eventsOf(batch, this.length()))
      this.options.room.leave(this.pending.continueAt(this.length()))
    })
  }
}

const reasonOf = (cause: Cause.Cause<PlatformError.PlatformError>): string =>
  Cause.squash(cause) instanceof Error ? String(Cause.squash(cause)) : Cause.pretty(cause)
