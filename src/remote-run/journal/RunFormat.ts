/** How a run's records look to a caller: text, ndjson, raw, and server-sent events. Pure functions on bytes. */
import { isUtf8 } from "node:buffer"
import { headerLength, type JournalRecord, Kind } from "./JournalRecord.ts"

/** What a caller can have a run as: Rudder's text, JSON a line, the bytes of stdout alone, or server-sent events. */
export type RunFormat = "text" | "ndjson" | "raw" | "sse"

/** One output line of ndjson, without its newline. `base64` has the bytes where they are not UTF-8. */
export interface OutputLine {
  readonly event: "output"
  readonly node: string
  readonly stream: "stdout" | "stderr"
  readonly line: string
  readonly base64?: string
  /** The line goes on in the next. */
  readonly partial?: true
  /** The last line of its stream, without a newline behind it. */
  readonly unterminated?: true
}

const newline = 0x0a
const newlineBytes = Buffer.from("\n")
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

/** `<id>:<line>` for each stdout line, each ended by a newline. */
const textLines = (record: JournalRecord): Buffer => {
  const parts: Array<Buffer> = []
  const prefix = Buffer.concat([record.node, Buffer.from(":")])
  eachLine(record.payload, (from, to, terminated) => {
    parts.push(prefix, record.payload.subarray(from, terminated ? to + 1 : to))
    if (!terminated) parts.push(newlineBytes)
  })
  return Buffer.concat(parts)
}

/** The objects of an output record's lines, each with the offset behind it in the payload. */
const outputLines = (record: JournalRecord, each: (line: OutputLine, end: number) => void): void => {
  const node = record.node.toString("latin1")
  const stream = record.kind === Kind.stdout ? "stdout" : "stderr"
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

const encodeText = (record: JournalRecord): ReadonlyArray<Buffer> => {
  if (record.kind === Kind.stdout) return [textLines(record)]
  return isOutput(record) ? [] : [record.payload, newlineBytes]
}

const encodeNdjson = (record: JournalRecord): ReadonlyArray<Buffer> => {
  if (!isOutput(record)) return [record.payload, newlineBytes]
  let text = ""
  outputLines(record, (line) => {
    text += `${JSON.stringify(line)}\n`
  })
  return [Buffer.from(text)]
}

/** The id of an event is the offset in the journal behind what it says: resuming is reading from there. */
const encodeSse = (record: JournalRecord, at: number, after: number): ReadonlyArray<Buffer> => {
  const payloadAt = at + headerLength + record.nodeLength
  if (!isOutput(record)) {
    const id = payloadAt + record.payloadLength
    return id <= after ? [] : [Buffer.from(`id: ${id}\ndata: `), record.payload, Buffer.from("\n\n")]
  }
  let text = ""
  outputLines(record, (line, end) => {
    if (payloadAt + end > after) text += `id: ${payloadAt + end}\ndata: ${JSON.stringify(line)}\n\n`
  })
  return text === "" ? [] : [Buffer.from(text)]
}

/**
 * The bytes that one format has for a record; none for the journal's own head and marks.
 *
 * `at` is the record's offset; `after` is the last event id that the client already has, 0 for none (sse only).
 */
export const encode = (
  format: RunFormat,
  record: JournalRecord,
  at: number,
  after: number
): ReadonlyArray<Buffer> => {
  if (record.kind === Kind.head || record.kind === Kind.passed) return []
  switch (format) {
    case "text":
      return encodeText(record)
    case "ndjson":
      return encodeNdjson(record)
    case "sse":
      return encodeSse(record, at, after)
    case "raw":
      return record.kind === Kind.stdout ? [record.payload] : []
  }
}
