/**
 * `key=value` lines up to an empty one: what agents put before the content, and what stands beside a stored file.
 *
 * A line may end in CR LF. What is not `key=value` is ignored, as an unknown key is.
 */
import { Either } from "effect"
import { InvalidRequest } from "../../RelayError.ts"

/** A block is at most this long. Bytes. */
export const maxLength = 64 * 1024

/** Values by their keys, each of which comes once. */
export type HeaderBlock = ReadonlyMap<string, string>

const invalid = (message: string) => new InvalidRequest({ message: `header block: ${message}` })

/** Decodes the lines of a block, without the empty one. Fails where a key comes twice. */
export const parse = (text: string): Either.Either<HeaderBlock, InvalidRequest> => {
  const entries = new Map<string, string>()
  for (const line of text.split("\n")) {
    const at = line.indexOf("=")
    if (at === -1) continue
    const key = line.slice(0, at).trim()
    if (entries.has(key)) return Either.left(invalid(`${key.slice(0, 100)} is there twice`))
    entries.set(key, line.slice(at + 1).trim())
  }
  return Either.right(entries)
}

/** A line of a block, with its newline. What goes in here is one line. */
export const line = (key: string, value: string | number): string => `${key}=${value}\n`

/** The lines of a block. */
export const print = (entries: Iterable<readonly [string, string]>): string =>
  Array.from(entries, ([key, value]) => line(key, value)).join("")

const newline = 0x0a
const carriageReturn = 0x0d

/** A block that has come to its end. */
export interface FoundBlock {
  readonly block: HeaderBlock
  /** Bytes, with the empty line. */
  readonly length: number
  /** The content that is already there. */
  readonly rest: Uint8Array
}

/** Finds the block at the beginning of a body, in whatever pieces that comes. */
export class HeaderReader {
  private readonly parts: Array<Uint8Array> = []
  private length = 0
  /** Bytes since the last newline, as far as it matters: none, a carriage return, or something else. */
  private line: "empty" | "return" | "text" = "empty"

  /**
   * Takes the next piece. Undefined: the block goes on. Otherwise the block, how many bytes it took, and the bytes of
   * this piece that are already content. Fails past 64 KiB, for what is not UTF-8, and for a key that comes twice.
   */
  push(piece: Uint8Array): Either.Either<FoundBlock | undefined, InvalidRequest> {
    const end = this.scan(piece)
    this.length += end ?? piece.length
    if (this.length > maxLength) return Either.left(invalid("expected an empty line within 64 KiB"))
    this.parts.push(piece.subarray(0, end ?? piece.length))
    if (end === undefined) return Either.right(undefined)
    return Either.map(this.decode(), (block) => ({ block, length: this.length, rest: piece.subarray(end) }))
  }

  /** Where the content begins; undefined: not in this piece. */
  private scan(piece: Uint8Array): number | undefined {
    const limit = Math.min(piece.length, maxLength - this.length + 1)
    for (let at = 0; at < limit; at++) {
      const byte = piece[at]
      if (byte !== newline) {
        this.line = byte === carriageReturn && this.line === "empty" ? "return" : "text"
      } else {
        if (this.line !== "text") return at + 1
        this.line = "empty"
      }
    }
    return undefined
  }

  private decode(): Either.Either<HeaderBlock, InvalidRequest> {
    try {
      const text = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(this.parts))
      return parse(text)
    } catch {
      return Either.left(invalid("expected UTF-8"))
    }
  }
}
