/**
 * What stands in an entry's file behind its content: the request, and a last line that says how long the two are, with a
 * check over both. So the content is at the beginning of the file, as it came, and the rest is found from the file's end.
 */

import { crc32 } from "node:zlib"
import type { Option } from "effect"
import { bufferOf } from "../../Bytes.ts"
import type { FileEnd } from "../../disk/Disk.ts"
import * as EntryRecord from "./EntryRecord.ts"

/** What the last line says. */
interface Last {
  /** Of the content. Bytes, like the next. */
  readonly content: number
  /** Of the request, with the newline in front of it. */
  readonly request: number
  /** Of all that is in front of the line. */
  readonly check: number
}

/** A tail that belongs to its file. */
export interface EntryTail {
  /** The text of the request, as it is in the file. */
  readonly request: Uint8Array
  readonly check: number
}

/** A checksum (CRC-32) of bytes; with what it was before them, of all together. */
export const check = (bytes: Uint8Array, before = 0): number => crc32(bytes, before)

const [contentDigits, requestDigits] = [15, 6]

const printLast = ({ content, request, check }: Last): string =>
  `entry content=${String(content).padStart(contentDigits, "0")} request=${String(request).padStart(requestDigits, "0")} crc32=${check.toString(16).padStart(8, "0")}\n`

const lastLength = printLast({ content: 0, request: 0, check: 0 }).length

const pattern = /^entry content=(\d{15}) request=(\d{6}) crc32=([0-9a-f]{8})\n$/

const parseLast = (end: Uint8Array): Last | undefined => {
  const from = Math.max(0, end.length - lastLength)
  const [, content, request, check] = pattern.exec(bufferOf(end).toString("latin1", from)) ?? []
  return content === undefined || request === undefined || check === undefined
    ? undefined
    : { content: Number(content), request: Number(request), check: Number.parseInt(check, 16) }
}

/**
 * The tail of a content.
 *
 * @param size of the content: bytes
 * @param checked `check` of the content
 */
export const print = (record: EntryRecord.EntryRecord, size: number, checked: number): Buffer => {
  // A content need not end with a newline; the record is to begin on a line of its own.
  const request = Buffer.from(`\n${EntryRecord.print(record)}`)
  const last = { content: size, request: request.length, check: check(request, checked) }
  return Buffer.concat([request, Buffer.from(printLast(last))])
}

/** A whole file: a content with its tail. */
export const append = (content: Uint8Array, record: EntryRecord.EntryRecord): Buffer => {
  const request = `\n${EntryRecord.print(record)}`
  const length = Buffer.byteLength(request)
  const end = content.length + length
  const file = Buffer.allocUnsafe(end + lastLength)
  file.set(content)
  file.write(request, content.length)
  const last = { content: content.length, request: length, check: check(file.subarray(0, end)) }
  file.write(printLast(last), end, "latin1")
  return file
}

/** How long the tail is, of which this is the end; undefined: it is none. */
export const lengthOf = (end: Uint8Array): number | undefined => {
  const last = parseLast(end)
  return last === undefined ? undefined : last.request + lastLength
}

/**
 * The tail of a file; undefined where the file is not as it was written, as far as that is seen without the content, or
 * where not all of the tail is there.
 *
 * @param size of the content, as the entry's name says: bytes
 */
export const parse = ({ bytes, length }: FileEnd, size: number): EntryTail | undefined => {
  const last = parseLast(bytes)
  if (last === undefined || last.content !== size || length !== size + last.request + lastLength)
    return undefined
  const from = bytes.length - lastLength - last.request
  return from < 0
    ? undefined
    : { request: bytes.subarray(from, bytes.length - lastLength), check: last.check }
}

/** Whether a content is the one that was written. @param checked `check` of the content */
export const isOf = (tail: EntryTail, checked: number): boolean => check(tail.request, checked) === tail.check

/** What was asked for. */
export const recordOf = ({ request }: EntryTail): Option.Option<EntryRecord.EntryRecord> =>
  EntryRecord.parse(bufferOf(request).toString())
