/** Cuts a stream of bytes into lines, and holds no more than one of them. */

const newline = 0x0a

export class LineCutter {
  private parts: Array<Buffer> = []
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
      lines.push(this.length === 0 ? line : Buffer.concat([...this.parts, line]))
      this.parts = []
      this.length = 0
      from = to + 1
    }
    const rest = bytes.subarray(from)
    this.length += rest.length
    if (this.length > this.maxLength) return undefined
    if (rest.length > 0) this.parts.push(rest)
    return lines
  }
}
