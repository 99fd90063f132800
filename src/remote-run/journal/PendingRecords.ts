/** Records of a journal on their way to its file, and where they are when they can't get there. */
import { encodeHeader, headerLength, type Kind } from "./JournalRecord.ts"
import type { OutputAccount, RecordFlags } from "./JournalSource.ts"

/** Small records of one node that follow each other become one, up to this size. Bytes. */
const maxJoined = 64 * 1024

/** A record that is in no file yet. */
export interface PendingRecord {
  /** Where it begins, should all before it be written. */
  at: number
  readonly kind: Kind
  readonly node: string
  readonly previous: number
  readonly flags: RecordFlags
  readonly parts: Array<Uint8Array>
  /** Of the payload. Bytes. */
  length: number
  /** Set for output, which may be dropped. */
  readonly account: OutputAccount | undefined
}

const lengthOf = (record: PendingRecord): number => headerLength + record.node.length + record.length

/** What the payloads of some records take. */
export const inBytes = (records: ReadonlyArray<PendingRecord>): number =>
  records.reduce((sum, record) => sum + record.length, 0)

/** The records as they are in a file; `link` says where a node's record before is. */
export const encode = (
  records: ReadonlyArray<PendingRecord>,
  link: (previous: number) => number = (previous) => previous
): Buffer => {
  const parts: Array<Uint8Array> = []
  for (const record of records) {
    parts.push(encodeHeader(record.kind, record.node, record.length, link(record.previous), record.flags))
    for (const part of record.parts) parts.push(part)
  }
  return Buffer.concat(parts)
}

/** The records in their order, and where each will begin. */
export class PendingRecords {
  private records: Array<PendingRecord> = []
  /** Where the next record will begin. */
  private tail = 0
  /** The file has failed, and records have been given other places. */
  private relocated = false
  /**
   * Where records are that were on their way when the file failed, by where they would have been. A dropped record's
   * entry is the record before it.
   */
  private readonly moved = new Map<number, number>()
  private readonly isWritten: (offset: number) => boolean

  /** @param isWritten whether an offset is in a file */
  constructor(isWritten: (offset: number) => boolean) {
    this.isWritten = isWritten
  }

  get isEmpty(): boolean {
    return this.records.length === 0
  }

  /** Adds a record, or joins it to the last. Gives where the record that has it begins. */
  add(record: Omit<PendingRecord, "at" | "length" | "parts">, bytes: Uint8Array): number {
    const last = this.records.at(-1)
    if (last !== undefined && joins(last, record, bytes.length)) {
      last.parts.push(bytes)
      last.length += bytes.length
      this.tail += bytes.length
      return last.at
    }
    const at = this.tail
    const { kind, node, previous, flags, account } = record
    // Field by field, as in `decodeRecord`.
    const added = { at, kind, node, previous, flags, parts: [bytes], length: bytes.length, account }
    this.records.push(added)
    this.tail += lengthOf(added)
    return at
  }

  /** All of them, which are from now on the caller's. */
  take(): ReadonlyArray<PendingRecord> {
    const { records } = this
    this.records = []
    return records
  }

  /** The events among records that could not be written, as they are from `at` on; the output is dropped and counted. */
  eventsOf(records: ReadonlyArray<PendingRecord>, at: number): Buffer {
    return encode(this.relocate(records, at), (previous) => this.link(previous))
  }

  /**
   * The next records begin at `at`. The first time, those that are on their way lose their output too: gives how many
   * bytes of it.
   */
  continueAt(at: number): number {
    const before = inBytes(this.records)
    if (!this.relocated) this.records = this.relocate(this.records, at)
    this.relocated = true
    this.tail = at + this.records.reduce((sum, record) => sum + lengthOf(record), 0)
    return before - inBytes(this.records)
  }

  /** Drops the output among records, and moves the others together, from the offset `from` on. */
  private relocate(records: ReadonlyArray<PendingRecord>, from: number): Array<PendingRecord> {
    let at = from
    const kept: Array<PendingRecord> = []
    for (const record of records) {
      if (!this.relocated)
        this.moved.set(record.at, record.account === undefined ? at : this.link(record.previous))
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

  /**
   * Where a node's record before is by now. Were it wrong, only a reader of that node's part would end early.
   */
  private link(previous: number): number {
    return this.isWritten(previous) ? previous : (this.moved.get(previous) ?? previous)
  }
}

/**
 * Whether a record may be joined to the last. Accounts are compared and not ids: what a sub-relay prints itself and what
 * it passes on have the same id, and links of their own.
 */
const joins = (
  last: PendingRecord,
  { kind, account, flags }: Pick<PendingRecord, "kind" | "account" | "flags">,
  length: number
): boolean =>
  account !== undefined &&
  last.kind === kind &&
  last.account === account &&
  !last.flags.open &&
  !flags.open &&
  !flags.continued &&
  last.length + length <= maxJoined
