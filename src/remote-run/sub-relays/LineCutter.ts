/** Cuts a stream of bytes into lines, and holds no more than one of them. */

const newline = 0x0a

/** The cutter of one stream. */
export class LineCutter {
  /** The beginning of a line that is not complete: one buffer, since bytes may come one by one. */
  private held: Buffer = Buffer.alloc(0)
  private length = 0
  private readonly maxLength: number

  /** @param maxLength bytes of a line, without its newline */
  constructor(maxLength: number) {
    this.maxLength = maxLength
  }

  /** The lines that are complete with these bytes, without newlines; undefined when one is too long. */
  push(bytes: Buffer): ReadonlyArray<Buffer> | undefined {
    const lines: Array<Buffer> = []
    let from = 0
    for (let to = bytes.indexOf(newline); to !== -1; to = bytes.indexOf(newline, from)) {
      const line = bytes.subarray(from, to)
      if (this.length + line.length > this.maxLength) return undefined
      lines.push(this.length === 0 ? line : Buffer.concat([this.held.subarray(0, this.length), line]))
      this.length = 0
      this.held = Buffer.alloc(0)
      from = to + 1
    }
    return this.hold(bytes.subarray(from)) ? lines : undefined
  }

  private hold(bytes: Buffer): boolean {
    const length = this.length + bytes.length
    if (length > this.maxLength) return false
    if (length > this.held.length) {
      const larger = Buffer.allocUnsafe(Math.min(this.maxLength, Math.max(length, 2 * this.held.length)))
      this.held.copy(larger, 0, 0, this.length)
      this.held = larger
    }
    bytes.copy(this.held, this.length)
    this.length = length
    return true
  }
}
