/** What a request's conditions and range mean for a file (RFC 9110, 13 and 14). */
import fresh from "fresh"
import parseRanges from "range-parser"

/** What stands for one version of a file. */
export interface Validators {
  /** With its quotes; a weak one begins with `W/`. */
  readonly etag: string
  /** An HTTP date. */
  readonly "last-modified": string
}

/** Bytes from the first to the last of them. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** `Unsatisfiable`: nothing of the range that was asked for is in the file. */
export type Selection =
  | { readonly _tag: "NotModified" }
  | { readonly _tag: "Unsatisfiable" }
  | { readonly _tag: "Part"; readonly range: ByteRange }
  | { readonly _tag: "Whole" }

type Headers = Readonly<Record<string, string | undefined>>

const whole: Selection = { _tag: "Whole" }

/** Whether the caller's bytes are of this version, so that a part fits them. A weak tag does not prove that. */
const isSameVersion = (condition: string, validators: Validators): boolean =>
  !validators.etag.startsWith("W/") &&
  (condition === validators.etag || condition === validators["last-modified"])

/** "The last n bytes" of a file that has fewer is all of it (RFC 9110); to the library it would be no range. */
const withinFile = (range: string, size: number): string =>
  range.replace(/^(bytes=)-(\d+)$/i, (text, unit: string, length: string) =>
    Number(length) > size ? `${unit}0-` : text
  )

/** A range that ends before it begins asks for nothing that could be: it is none (RFC 9110, 14.1.1). */
const isBackwards = (range: string): boolean => {
  const [, first, last] = /^bytes=\s*(\d+)-(\d+)\s*$/i.exec(range) ?? []
  return first !== undefined && BigInt(last ?? 0) < BigInt(first)
}

/** Several ranges that don't make one, and what is no range of bytes, are answered with the whole file, as is allowed. */
const selectRange = (header: string, size: number): Selection => {
  if (!/^bytes=/i.test(header) || isBackwards(header)) return whole
  const ranges = parseRanges(size, withinFile(header, size), { combine: true })
  if (ranges === -1) return { _tag: "Unsatisfiable" }
  if (ranges === -2) return whole
  const [range, ...others] = ranges
  return range === undefined || others.length > 0 ? whole : { _tag: "Part", range }
}

/** Only GET has ranges. */
export const select = (method: string, headers: Headers, size: number, validators: Validators): Selection => {
  if (fresh({ ...headers }, { ...validators })) return { _tag: "NotModified" }
  const { range, "if-range": condition } = headers
  if (method !== "GET" || range === undefined) return whole
  if (condition !== undefined && !isSameVersion(condition, validators)) return whole
  return selectRange(range, size)
}
