/** Bytes as lines of text, however they come in pieces. */

/** A longer line is cut: nobody holds a text without an end. Characters. */
const maxLength = 64 * 1024

/** The lines of one text. */
export class TextLines {
  private readonly decoder = new TextDecoder()
  private held = ""

  /** The lines that are complete with these bytes. */
  push(bytes: Uint8Array): ReadonlyArray<string> {
    const lines = (this.held + this.decoder.decode(bytes, { stream: true })).split("\n")
    this.held = lines.pop() ?? ""
    if (this.held.length <= maxLength) return lines
    const cut = this.held
    this.held = ""
    return [...lines, cut]
  }

  /** The last line, where it has no newline. */
  end(): ReadonlyArray<string> {
    const last = this.held + this.decoder.decode()
    this.held = ""
    return last === "" ? [] : [last]
  }
}
