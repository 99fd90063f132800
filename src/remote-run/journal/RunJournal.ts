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
import { encodeHeader, headerLength, type Kind } from "./JournalRecord.ts"
import type { JournalRoom } from "./JournalRoom.ts"
import type { Journal, JournalPart, OutputAccount, RecordFlags } from "./JournalSource.ts"

/** Small records of one node that follow each other become one, up to this size. */
const maxJoined = 64 * 1024

interface Pending {
  /** Where it begins, should all before it be written. */
  at: number
  readonly kind: Kind
  readonly node: string
  readonly previous: number
  readonly flags: RecordFlags
  readonly parts: Array<Uint8Array>
  length: number
  /** Set for output, which may be dropped. */
  readonly account: OutputAccount | undefined
}

const noFlags: RecordFlags = { continued: false, open: false }

const lengthOf = (record: Pending): number => headerLength + record.node.length + record.length

/** What the payloads of some records take. */
const inBytes = (records: ReadonlyArray<Pending>): number =>
  records.reduce((sum, record) => sum + record.length, 0)

const encode = (batch: ReadonlyArray<Pending>, link: (previous: number) => number): Buffer =>
  Buffer.concat(
    batch.flatMap((record) => [
      encodeHeader(record.kind, record.node, record.length, link(record.previous), record.flags),
      ...record.parts
    ])
  )

export interface JournalOptions {
  readonly fs: FileSystem.FileSystem
  readonly room: JournalRoom
  /** Runs a write in the daemon's scope. */
  readonly fork: (effect: Effect.Effect<void>) => void
  /** Where the file is while the run goes on, and where it is kept. */
  readonly path: string
  readonly finalPath: string
  /** Where it goes on when its file can't be written; that of the system unless a test has another. */
  readonly temporary?: string
}

export class RunJournal implements Journal {
  private pending: Array<Pending> = []
  private flushing = false
  private readonly files: JournalFiles
  /** Where the next record will begin. */
  private tail = 0
  /** Nothing can be written: events stay in memory, output is dropped. */
  private failed = false
  /** Output was dropped because there was no room, and the log has that. */
  private crowded = false
  /** Where records are that were on their way when the file failed, by where they would have been; of one that was dropped, where the one before it is. */
  private readonly moved = new Map<number, number>()
  private closed = false
  private busy = false
  private reserved = 0
  private readonly waiting = new Set<() => void>()
  private readonly options: JournalOptions

  constructor(options: JournalOptions) {
    this.options = options
    this.files = new JournalFiles(options)
  }

  readonly partAt = (offset: number): JournalPart => this.files.partAt(offset)
  readonly length = (): number => this.files.length
  readonly ended = (): boolean => this.closed && !this.flushing
  readonly unwritten = (offset: number): Buffer | undefined => this.files.unwritten(offset)

  readonly grownBeyond = (length: number): Effect.Effect<void> =>
    Effect.async<void>((resume) => {
      if (this.length() > length || this.ended()) return resume(Effect.void)
      return this.waitForChange(() => resume(Effect.void))
    })

  /** Succeeds when nothing is on its way to the disk. */
  readonly flushed: Effect.Effect<void> = Effect.suspend(() =>
    this.flushing
      ? Effect.andThen(
          Effect.async<void>((resume) => this.waitForChange(() => resume(Effect.void))),
          this.flushed
        )
      : Effect.void
  )

  /** The file stays open from now on: agents are about to print. Until then a waiting run holds no descriptor. */
  keepOpen(): void {
    this.busy = true
  }

  /** Appends an event; `previous` is where the node's record before begins. Gives where this one begins. */
  event(kind: Kind, node: string, json: unknown, previous: number): number {
    const bytes = Buffer.from(JSON.stringify(json))
    return this.append({
      at: this.tail,
      kind,
      node,
      previous,
      flags: noFlags,
      parts: [bytes],
      length: bytes.length,
      account: undefined
    })
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
    const last = this.pending.at(-1)
    if (last !== undefined && joins(last, kind, account, flags, copy)) return this.join(last, copy)
    return this.append({
      at: this.tail,
      kind,
      node,
      previous,
      flags,
      parts: [copy],
      length: copy.length,
      account
    })
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
    const settled = yield* Effect.exit(this.files.settle)
    if (Exit.isFailure(settled))
      yield* Effect.logWarning("the run's history is not where it belongs").pipe(
        Effect.annotateLogs({ file: this.options.path, problem: reasonOf(settled.cause) })
      )
    this.closed = true
    this.options.room.release(this.reserved)
    this.wake()
    return Exit.isSuccess(settled)
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

  private waitForChange(wake: () => void): Effect.Effect<void> {
    this.waiting.add(wake)
    return Effect.sync(() => this.waiting.delete(wake))
  }

  private wake(): void {
    const waiting = [...this.waiting]
    this.waiting.clear()
    for (const wake of waiting) wake()
  }

  private join(last: Pending, bytes: Uint8Array): number {
    last.parts.push(bytes)
    last.length += bytes.length
    this.tail += bytes.length
    this.options.room.enter(bytes.length)
    return last.at
  }

  private append(record: Pending): number {
    this.pending.push(record)
    this.tail += lengthOf(record)
    this.options.room.enter(record.length)
    if (!this.flushing) {
      this.flushing = true
      this.options.fork(this.flush)
    }
    return record.at
  }

  private readonly flush: Effect.Effect<void> = Effect.gen(this, function* () {
    while (this.pending.length > 0) {
      const batch = this.pending
      this.pending = []
      const bytes = encode(batch, (previous) => previous)
      const result = this.failed ? undefined : yield* Effect.exit(this.files.write(bytes))
      if (result === undefined || Exit.isFailure(result)) yield* this.keepEvents(batch, result?.cause)
      this.options.room.leave(inBytes(batch))
      if (this.pending.length > 0) this.wake()
    }
    if (!this.busy) yield* this.files.closeIdle
    // Something may have been appended while the file was being closed.
    if (this.pending.length > 0) return yield* this.flush
    this.flushing = false
    this.wake()
  }).pipe(Effect.uninterruptible)

  /** Nothing can be written: what is in the files stays, events of this batch go to memory, output is dropped. */
  private keepEvents(
    batch: ReadonlyArray<Pending>,
    cause: Cause.Cause<PlatformError.PlatformError> | undefined
  ): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      if (cause !== undefined) {
        this.failed = true
        yield* Effect.logWarning("nor can the temporary file be written; the run's output is dropped").pipe(
          Effect.annotateLogs({ file: this.options.path, problem: reasonOf(cause) })
        )
      }
      const first = this.moved.size === 0
      const events = this.relocate(batch, this.length(), first)
      this.files.remember(encode(events, (previous) => this.link(previous)))
      if (first) {
        const before = inBytes(this.pending)
        this.pending = this.relocate(this.pending, this.length(), first)
        this.options.room.leave(before - inBytes(this.pending))
      }
      this.tail = this.length() + this.pending.reduce((sum, record) => sum + lengthOf(record), 0)
    })
  }

  /** Drops output, and gives what is left the places that it has then. */
  private relocate(records: ReadonlyArray<Pending>, from: number, note: boolean): Array<Pending> {
    let at = from
    const kept: Array<Pending> = []
    for (const record of records) {
      if (note) this.moved.set(record.at, record.account === undefined ? at : this.link(record.previous))
      if (record.account !== undefined) {
        record.account.dropped += record.length
        continue
      }
      record.at = at
      at += lengthOf(record)
      kept.push(record)
    }
    return kept
  }

  /** Where a record that came before is now; a wrong guess ends a chain of links, and nothing else. */
  private link(previous: number): number {
    return this.files.isWritten(previous) ? previous : (this.moved.get(previous) ?? previous)
  }
}

const reasonOf = (cause: Cause.Cause<PlatformError.PlatformError>): string =>
  Cause.squash(cause) instanceof Error ? String(Cause.squash(cause)) : Cause.pretty(cause)

/** One account is one log: a relay's own output and what it passes on have the same id, and each its own chain. */
const joins = (
  last: Pending,
  kind: Kind,
  account: OutputAccount,
  flags: RecordFlags,
  bytes: Uint8Array
): boolean =>
  last.kind === kind &&
  last.account === account &&
  !last.flags.open &&
  !flags.open &&
  !flags.continued &&
  last.length + bytes.length <= maxJoined
