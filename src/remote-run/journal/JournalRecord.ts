/**
 * The records of a run's journal: a file that only grows, holds the run's events and output in the order in which
 * they happened, and is all that a reader needs.
 *
 * A record is a header of 24 bytes (big-endian: magic u16, kind u8, flags u8, length of the node id u8, 3 bytes of
 * zero, length of the payload u32, offset of the node's previous record f64 or 0, 4 bytes of zero), the node's id, and
 * the payload: an event's JSON, or bytes of output as `OutputLines` cut them.
 */

/** Bytes of a record before its node's id. */
export const headerLength = 24
const magic = 0x524a

/** What a record holds. `passed` is the mark behind lines of a sub-relay that does not say which node printed them. */
export const Kind = { head: 1, run: 2, start: 3, stdout: 4, stderr: 5, end: 6, done: 7, passed: 8 } as const
export type Kind = (typeof Kind)[keyof typeof Kind]

const kinds: ReadonlySet<number> = new Set(Object.values(Kind))
const isKind = (value: number): value is Kind => kinds.has(value)

const flagContinued = 1
const flagOpen = 2

/** What a record's first bytes say. Lengths in bytes, offsets in bytes from the journal's beginning. */
export interface RecordHeader {
  readonly kind: Kind
  readonly continued: boolean
  readonly open: boolean
  readonly nodeLength: number
  readonly payloadLength: number
  /** Where the same node's previous record begins; 0: there is none. */
  readonly previous: number
}

/** A record, its bytes shared with the buffer that it was decoded from. */
export interface JournalRecord extends RecordHeader {
  /** Empty in records that are about no node. */
  readonly node: Buffer
  readonly payload: Buffer
}

/** Bytes of a whole record. */
export const recordLength = (header: RecordHeader): number =>
  headerLength + header.nodeLength + header.payloadLength

/** Writes a record's header and node id; the payload follows. */
export const encodeHeader = (
  kind: Kind,
  node: string,
  payloadLength: number,
  previous: number,
  flags: { readonly continued: boolean; readonly open: boolean }
): Buffer => {
  const id = Buffer.from(node, "latin1")
  const header = Buffer.alloc(headerLength + id.length)
  header.writeUInt16BE(magic, 0)
  header.writeUInt8(kind, 2)
  header.writeUInt8((flags.continued ? flagContinued : 0) | (flags.open ? flagOpen : 0), 3)
  header.writeUInt8(id.length, 4)
  header.writeUInt32BE(payloadLength, 8)
  header.writeDoubleBE(previous, 12)
  id.copy(header, headerLength)
  return header
}

/** The header at `at`; undefined where no whole header of ours begins. */
export const decodeHeader = (bytes: Buffer, at: number): RecordHeader | undefined => {
  if (bytes.length - at < headerLength || bytes.readUInt16BE(at) !== magic) return undefined
  const kind = bytes.readUInt8(at + 2)
  if (!isKind(kind)) return undefined
  const flags = bytes.readUInt8(at + 3)
  return {
    kind,
    continued: (flags & flagContinued) !== 0,
    open: (flags & flagOpen) !== 0,
    nodeLength: bytes.readUInt8(at + 4),
    payloadLength: bytes.readUInt32BE(at + 8),
    previous: bytes.readDoubleBE(at + 12)
  }
}

/** The record at `at`; undefined where no whole record begins. Shares the memory of `bytes`. */
export const decodeRecord = (bytes: Buffer, at: number): JournalRecord | undefined => {
  const header = decodeHeader(bytes, at)
  if (header === undefined || bytes.length - at < recordLength(header)) return undefined
  const { kind, continued, open, nodeLength, payloadLength, previous } = header
  const payloadAt = at + headerLength + nodeLength
  // Field by field: an object that is spread and then added to has a shape of its own each time, which costs microseconds.
  return {
    kind,
    continued,
    open,
    nodeLength,
    payloadLength,
    previous,
    node: bytes.subarray(at + headerLength, payloadAt),
    payload: bytes.subarray(payloadAt, payloadAt + payloadLength)
  }
}
