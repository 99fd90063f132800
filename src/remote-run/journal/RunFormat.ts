/** How a run's records look to a caller: text, ndjson, raw, and server-sent events. Pure functions on bytes. */
import { isUtf8 } from "node:buffer"
import type { OutputEvent } from "../RunStreamEvent.ts"
import { headerLength, type JournalRecord, Kind, recordLength } from "./JournalRecord.ts"

/** What a caller can have a run as: Rudder's text, JSON a line, the bytes of stdout alone, or server-sent events. */
export type RunFormat = "text" | "ndjson" | "raw" | "sse"

const newline = 0x0a
const newlineBytes = Buffer.from("\n")
/** An expression that is but a text is replaced in one piece, and a text one by one. */
const eachNewline = /\n/g
/** A byte that UTF-8 never has, which JSON leaves as it is. */
const noByte = "\xff"
const eachNoByte = /\xff/g
/** UTF-8, a character for each byte, that JSON has in a string as it is, newlines aside. */
const plain = /^[\n !#-[\]-\xff]*$/
const pingLine = Buffer.from('{"event":"ping"}\n')

/** Sent after 15 s without a line, so that proxies keep the connection open; raw has nothing to say it with. */
export const ping: Record<RunFormat, Buffer | undefined> = {
  text: pingLine,
  ndjson: pingLine,
  raw: undefined,
  sse: Buffer.from('data: {"event":"ping"}\n\n')
}

/** The media type of each format. */
export const contentType: Record<RunFormat, string> = {
  text: "text/plain; charset=utf-8",
  ndjson: "application/x-ndjson",
  raw: "text/plain; charset=utf-8",
  sse: "text/event-stream"
}

/** Calls `line` with the bounds of each line in `bytes`, without its newline. */
const eachLine = (bytes: Buffer, line: (from: number, to: number, terminated: boolean) => void): void => {
  let from = 0
  while (from < bytes.length) {
    const to = bytes.indexOf(newline, from)
    if (to === -1) {
      line(from, bytes.length, false)
      return
    }
    line(from, to, true)
    from = to + 1
  }
}

/** Where the whole lines end. */
const behindLines = (payload: Buffer): number => payload.lastIndexOf(newline) + 1

/**
 * `<id>:<line>` for each line, each ended by a newline. As one string, of a character for each byte: to handle the lines
 * one by one takes three times as long.
 */
const textLines = ({ node, payload }: JournalRecord): Buffer => {
  const prefix = `${node.toString("latin1")}:`
  const isEnded = payload.at(-1) === newline
  const lines = payload.toString("latin1", 0, payload.length - (isEnded ? 1 : 0))
  return Buffer.from(`${prefix}${lines.replaceAll("\n", `\n${prefix}`)}\n`, "latin1")
}

/** The lines of so many bytes are a string that V8 has among what is soon gone; large ones cost the system pages. */
const sliceLength = 8 * 1024

/**
 * The lines of a payload of UTF-8 as their objects' text would be one by one, at three times the speed: many are made JSON
 * together, in strings of a character for each byte. Where a line ends stands a byte that no line has: whatever JSON itself
 * writes may be in a line too, or come about where two meet.
 */
const jsonLines = (record: JournalRecord, payload: Buffer): Buffer => {
  const head = JSON.stringify({
    event: "output",
    node: record.node.toString("latin1"),
    stream: streamOf(record)
  })
  const begin = `${head.slice(0, -1)},"line":"`
  const between = `"}\n${begin}`
  const slices = [begin]
  let length = 0
  for (let from = 0; from < payload.length; from += sliceLength) {
    const text = payload.toString("latin1", from, Math.min(from + sliceLength, payload.length))
    const slice = plain.test(text)
      ? text.replace(eachNewline, between)
      : JSON.stringify(text.replace(eachNewline, noByte)).slice(1, -1).replace(eachNoByte, between)
    slices.push(slice)
    length += slice.length
  }
  const lines = Buffer.allocUnsafe(begin.length + length)
  let at = 0
  for (const slice of slices) at += lines.write(slice, at, "latin1")
  // Behind the last newline stands the beginning of a line that is not there.
  return lines.subarray(0, length)
}

const streamOf = ({ kind }: JournalRecord) => (kind === Kind.stdout ? "stdout" : "stderr")

/** The objects of an output record's lines, each with the offset behind it in the payload. */
const outputLines = (record: JournalRecord, each: (line: OutputEvent, end: number) => void): void => {
  const node = record.node.toString("latin1")
  const stream = streamOf(record)
  const clean = isUtf8(record.payload)
  eachLine(record.payload, (from, to, terminated) => {
    const bytes = record.payload.subarray(from, to)
    each(
      {
        event: "output",
        node,
        stream,
        line: bytes.toString("utf8"),
        ...(clean || isUtf8(bytes) ? {} : { base64: bytes.toString("base64") }),
        ...(record.open ? { partial: true as const } : {}),
        ...(terminated || record.open ? {} : { unterminated: true as const })
      },
      terminated ? to + 1 : to
    )
  })
}

const isOutput = (record: JournalRecord): boolean =>
  record.kind === Kind.stdout || record.kind === Kind.stderr

const encodeText = (record: JournalRecord): ReadonlyArray<Buffer> =>
  isOutput(record) ? [textLines(record)] : [record.payload, newlineBytes]

const encodeNdjson = (record: JournalRecord): ReadonlyArray<Buffer> => {
  if (!isOutput(record)) return [record.payload, newlineBytes]
  const { payload } = record
  const end = record.open || !isUtf8(payload) ? 0 : behindLines(payload)
  const whole = end === 0 ? [] : [jsonLines(record, payload.subarray(0, end))]
  if (end === payload.length) return whole
  let text = ""
  outputLines({ ...record, payload: payload.subarray(end) }, (line) => {
    text += `${JSON.stringify(line)}\n`
  })
  return [...whole, Buffer.from(text)]
}

/** The id of an event is the offset in the journal behind what it says: resuming is reading from there. */
const encodeSse = (record: JournalRecord, at: number, { after, ids }: Shown): ReadonlyArray<Buffer> => {
  const payloadAt = at + headerLength + record.nodeLength
  const head = (id: number) => (ids ? `id: ${id}\ndata: ` : "data: ")
  if (!isOutput(record)) {
    const id = payloadAt + record.payloadLength
    return id <= after ? [] : [Buffer.from(head(id)), record.payload, Buffer.from("\n\n")]
  }
  let text = ""
  outputLines(record, (line, end) => {
    if (payloadAt + end > after) text += `${head(payloadAt + end)}${JSON.stringify(line)}\n\n`
  })
  return text === "" ? [] : [Buffer.from(text)]
}

/** The record without the lines that the caller has; undefined where those are all of it. */
const unseen = (record: JournalRecord, at: number, after: number): JournalRecord | undefined => {
  const seen = after - (at + headerLength + record.nodeLength)
  if (seen <= 0) return record
  return seen >= record.payloadLength ? undefined : { ...record, payload: record.payload.subarray(seen) }
}

/** Of which streams a format has the lines, where the caller does not say of which. */
export const streamsOf: Record<RunFormat, ReadonlySet<Kind>> = {
  text: new Set([Kind.stdout]),
  ndjson: new Set([Kind.stdout, Kind.stderr]),
  raw: new Set([Kind.stdout]),
  sse: new Set([Kind.stdout, Kind.stderr])
}

/** What of a record is shown. */
export interface Shown {
  /** The caller has what is before this offset of the journal, which is 0 or behind an event of the format. */
  readonly after: number
  /** The streams whose lines are shown. */
  readonly streams: ReadonlySet<Kind>
  /** sse: whether its events have ids. */
  readonly ids: boolean
}

/** The bytes that one format has for the record at the offset `at`; none for the journal's own head and marks. */
export const encode = (
  format: RunFormat,
  record: JournalRecord,
  at: number,
  shown: Shown
): ReadonlyArray<Buffer> => {
  if (record.kind === Kind.head || record.kind === Kind.passed) return []
  if (isOutput(record) && !shown.streams.has(record.kind)) return []
  if (format === "sse") return encodeSse(record, at, shown)
  const rest = unseen(record, at, shown.after)
  if (rest === undefined) return []
  switch (format) {
    case "text":
      return encodeText(rest)
    case "ndjson":
      return encodeNdjson(rest)
    case "raw":
      return isOutput(rest) ? [rest.payload] : []
  }
}

const newlinesIn = (bytes: Buffer): number => {
  let count = 0
  for (let at = bytes.indexOf(newline); at !== -1; at = bytes.indexOf(newline, at + 1)) count++
  return count
}

/**
 * How many events a format has for a record: objects of ndjson and sse, lines of text and raw. raw has one for a line that
 * was cut, with its last part. Nothing is decoded.
 */
export const eventsIn = (format: RunFormat, record: JournalRecord): number => {
  if (record.kind === Kind.head || record.kind === Kind.passed) return 0
  if (!isOutput(record)) return format === "raw" ? 0 : 1
  if (!streamsOf[format].has(record.kind)) return 0
  if (record.open) return format === "raw" ? 0 : 1
  return newlinesIn(record.payload) + (record.payload.at(-1) === newline ? 0 : 1)
}

/** The offset in the journal behind so many events of the record at `at`, of which it has more. */
export const behindEvents = (record: JournalRecord, at: number, count: number): number => {
  let end = 0
  for (let left = count; left > 0; left--) end = record.payload.indexOf(newline, end) + 1
  return at + recordLength(record) - record.payloadLength + end
}
