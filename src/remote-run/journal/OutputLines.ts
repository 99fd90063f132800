/**
 * Cuts the bytes of one stream of one agent into pieces that a journal can hold: runs of whole lines, and, of a line
 * longer than 64 KiB, parts. No byte is added, lost or moved.
 */

/** A line longer than this is cut. Bytes, without its newline. */
export const maxLineLength = 64 * 1024

/** Bytes of one record: whole lines, or a part of one long line. */
export interface Piece {
  readonly bytes: Uint8Array
  /** The first byte continues the line of the piece before. */
  readonly continued: boolean
  /** Part of a line that goes on in the next piece; such a piece holds nothing else. */
  readonly open: boolean
}

const newline = 0x0a
const empty = new Uint8Array(0)

/** The largest cut ≤ `at` that does not part a UTF-8 character; `at` itself where the bytes are not UTF-8 there. */
const characterBoundary = (bytes: Uint8Array, at: number): number => {
  for (let cut = at; cut > at - 4 && cut > 0; cut--) {
    if (((bytes[cut] ?? 0) & 0xc0) !== 0x80) return cut
  }
  return at
}

/** State: the unfinished line, at most 64 KiB. One instance for each stream of an agent. */
export class OutputLines {
  private rest: Uint8Array = empty
  private continued = false

  /** The pieces that are complete with these bytes. Pieces may share the memory of `bytes`. */
  push(bytes: Uint8Array): ReadonlyArray<Piece> {
    const pieces: Array<Piece> = []
    const last = bytes.lastIndexOf(newline)
    if (last === -1) {
      this.hold(bytes, pieces)
      return pieces
    }
    // Only the line that was begun is copied, and not all that comes with its end.
    const begun = this.rest.length === 0 ? 0 : bytes.indexOf(newline) + 1
    if (begun > 0) this.whole(Buffer.concat([this.rest, bytes.subarray(0, begun)]), pieces)
    this.rest = empty
    this.whole(bytes.subarray(begun, last + 1), pieces)
    this.hold(bytes.subarray(last + 1), pieces)
    return pieces
  }

  /** What is left when the stream is over: a last line without a newline. */
  end(): ReadonlyArray<Piece> {
    const rest = this.rest
    const continued = this.continued
    this.rest = empty
    this.continued = false
    return rest.length === 0 ? [] : [{ bytes: rest, continued, open: false }]
  }

  private hold(bytes: Uint8Array, pieces: Array<Piece>): void {
    if (bytes.length === 0) return
    let line: Uint8Array = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes])
    while (line.length > maxLineLength) line = this.part(line, pieces)
    this.rest = Uint8Array.prototype.slice.call(line)
  }

  /** Lines that all end here. Long ones among them are cut out; the runs between them stay in one piece. */
  private whole(lines: Uint8Array, pieces: Array<Piece>): void {
    let from = 0
    // As long as a line that is too long, with its newline, they are together.
    let at = lines.length <= maxLineLength + 1 ? lines.length : 0
    while (at < lines.length) {
      const end = lines.indexOf(newline, at)
      if (end - at > maxLineLength) {
        this.emit(lines.subarray(from, at), pieces)
        let line = lines.subarray(at, end + 1)
        while (line.length - 1 > maxLineLength) line = this.part(line, pieces)
        from = end + 1 - line.length
      }
      at = end + 1
    }
    this.emit(lines.subarray(from), pieces)
  }

  private part(line: Uint8Array, pieces: Array<Piece>): Uint8Array {
    const cut = characterBoundary(line, maxLineLength)
    pieces.push({ bytes: line.subarray(0, cut), continued: this.continued, open: true })
    this.continued = true
    return line.subarray(cut)
  }

  private emit(bytes: Uint8Array, pieces: Array<Piece>): void {
    if (bytes.length === 0) return
    pieces.push({ bytes, continued: this.continued, open: false })
    this.continued = false
  }
}
