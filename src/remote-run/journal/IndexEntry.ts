/**
 * The entries of a folder's index: of each run for which nodes it is and who asked for it, and, when it is over, its
 * summary. The list finds runs by them, without a look into every journal.
 *
 * An entry is a header of 16 bytes (big-endian: magic u32, kind u8, flags u8, 2 bytes of zero, length of the body u32,
 * CRC-32 of the body u32) and its body. That begins with the run's id (36 bytes). Behind it stand, of kind `nodes`, the
 * length of the actor (u16, bytes), the actor (UTF-8), and 8 bytes a node, its `fingerprint`; of kind `summary`, the
 * summary as JSON, or nothing where that is too long. A run for many nodes has several entries of kind `nodes`: `first`
 * and `last` say which.
 */
import { crc32 } from "node:zlib"
import type { RunId } from "../RunId.ts"

const magic = 0x524a4958
const headerLength = 16
const idLength = 36
/** Of the length of an actor. */
const lengthLength = 2
const fingerprintLength = 8

/** What an entry holds. */
export const Kind = { nodes: 1, summary: 2 } as const

const flagFirst = 1
const flagLast = 2

/** Nodes in one entry, so that none is long. */
const nodesInEntry = 4096

/** A body that is longer is none of ours. Bytes. */
export const maxBodyLength = 64 * 1024

/** Of one with very many classes the entry has nothing, and it is read from its journal. Bytes. */
const maxSummaryLength = 16 * 1024

/** A node's id in 8 bytes: two ids may share them, by a chance of 1 to 2^64. */
export const fingerprint = (node: string): Buffer => {
  let high = 0xdeadbeef
  let low = 0x41c6ce57
  for (let i = 0; i < node.length; i++) {
    const code = node.charCodeAt(i)
    high = Math.imul(high ^ code, 2654435761)
    low = Math.imul(low ^ code, 1597334677)
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909)
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909)
  const bytes = Buffer.allocUnsafe(fingerprintLength)
  bytes.writeUInt32BE(high >>> 0, 0)
  bytes.writeUInt32BE(low >>> 0, 4)
  return bytes
}

const idBytes = (id: RunId): Buffer => Buffer.from(id, "latin1")

const encode = (kind: number, flags: number, body: ReadonlyArray<Uint8Array>): Buffer => {
  const bytes = Buffer.concat([Buffer.alloc(headerLength), ...body])
  const content = bytes.subarray(headerLength)
  bytes.writeUInt32BE(magic, 0)
  bytes.writeUInt8(kind, 4)
  bytes.writeUInt8(flags, 5)
  bytes.writeUInt32BE(content.length, 8)
  bytes.writeUInt32BE(crc32(content), 12)
  return bytes
}

/** The entries of a run that begins; `actor` is empty where nobody is named. One a step, since a run may be for many. */
export function* nodesOf(id: RunId, actor: string, nodes: ReadonlyArray<string>): Generator<Buffer> {
  const name = Buffer.from(actor)
  const length = Buffer.alloc(lengthLength)
  length.writeUInt16BE(name.length, 0)
  const start = [idBytes(id), length, name]
  for (let from = 0; from === 0 || from < nodes.length; from += nodesInEntry) {
    const part = nodes.slice(from, from + nodesInEntry)
    const flags = (from === 0 ? flagFirst : 0) | (from + nodesInEntry >= nodes.length ? flagLast : 0)
    yield encode(Kind.nodes, flags, [...start, ...part.map(fingerprint)])
  }
}

/** The entry of a run that is over; without its summary where that is too long. */
export const summaryOf = (id: RunId, json: string): Buffer => {
  const bytes = Buffer.from(json)
  return encode(Kind.summary, 0, bytes.length > maxSummaryLength ? [idBytes(id)] : [idBytes(id), bytes])
}

/** An entry in the buffer that it was read into. */
export interface IndexEntry {
  readonly kind: number
  readonly first: boolean
  readonly last: boolean
  /** With all else that was read there. */
  readonly bytes: Buffer
  /** Where its body begins, behind the header. */
  readonly from: number
  /** Behind its body. */
  readonly end: number
}

/** Whether a body is long enough for what an entry of kind `nodes` says first. */
const hasNodes = (bytes: Buffer, from: number, length: number): boolean => {
  const left = length - idLength - lengthLength
  return left >= 0 && left >= bytes.readUInt16BE(from + idLength)
}

/**
 * The entry at `at`. `short`: what is there may be the beginning of one; `damaged`: it is none, such as the rest of one
 * that a crash cut off.
 */
export const decode = (bytes: Buffer, at: number): IndexEntry | "short" | "damaged" => {
  if (bytes.length - at < headerLength) return "short"
  const length = bytes.readUInt32BE(at + 8)
  if (bytes.readUInt32BE(at) !== magic || length < idLength || length > maxBodyLength) return "damaged"
  const end = at + headerLength + length
  if (bytes.length < end) return "short"
  const from = at + headerLength
  // No `subarray`, which takes longer: there are tens of thousands of entries.
  const body = new Uint8Array(bytes.buffer, bytes.byteOffset + from, length)
  const kind = bytes.readUInt8(at + 4)
  if (crc32(body) !== bytes.readUInt32BE(at + 12) || (kind === Kind.nodes && !hasNodes(bytes, from, length)))
    return "damaged"
  const flags = bytes.readUInt8(at + 5)
  return {
    kind,
    first: (flags & flagFirst) !== 0,
    last: (flags & flagLast) !== 0,
    bytes,
    from,
    end
  }
}

const magicBytes = Buffer.alloc(4)
magicBytes.writeUInt32BE(magic, 0)

/** Where the next entry may begin, behind `at`; the end of the bytes, or nearly, where none does. */
export const nextAfter = (bytes: Buffer, at: number): number => {
  const found = bytes.indexOf(magicBytes, at + 1)
  return found === -1 ? Math.max(at + 1, bytes.length - (magicBytes.length - 1)) : found
}

/** Whose entry it is. */
export const idOf = ({ bytes, from }: IndexEntry): string => bytes.toString("latin1", from, from + idLength)

/** The JSON of an entry of kind `summary`; undefined where it was too long. */
export const jsonOf = ({ bytes, from, end }: IndexEntry): string | undefined =>
  from + idLength === end ? undefined : bytes.toString("utf8", from + idLength, end)

const actorAt = ({ from }: IndexEntry): number => from + idLength + lengthLength

const nodesAt = (entry: IndexEntry): number =>
  actorAt(entry) + entry.bytes.readUInt16BE(entry.from + idLength)

/** Who asked for the run, in an entry of kind `nodes`; empty: nobody is named. */
export const actorOf = (entry: IndexEntry): string =>
  entry.bytes.toString("utf8", actorAt(entry), nodesAt(entry))

/** Whether a node is among those of an entry of kind `nodes`. */
export const hasNode = (entry: IndexEntry, node: Buffer): boolean => {
  const { bytes, end } = entry
  const [high, low] = [node.readInt32BE(0), node.readInt32BE(4)]
  for (let at = nodesAt(entry); at + fingerprintLength <= end; at += fingerprintLength)
    if (bytes.readInt32BE(at) === high && bytes.readInt32BE(at + 4) === low) return true
  return false
}
