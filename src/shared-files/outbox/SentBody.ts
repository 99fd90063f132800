/** A file's way into a request to the policy server. */

import type { ClientRequest } from "node:http"
import { Readable } from "node:stream"
import { bufferOf } from "../../Bytes.ts"
import type { SentFile } from "./Upstream.ts"

/** So many bytes at a time: few enough for a policy server to take them within `shared_files.forward_timeout`, also over a slow line. */
const pieceLength = 64 * 1024

/** To text of one byte for each character node adds its own head: it is one piece then, and no memory is asked for. Bytes. */
const mostAsText = 8 * 1024

const asText = (bytes: Uint8Array): string => bufferOf(bytes).toString("latin1")

/** The same of what is in UTF-8; where all of it is ASCII, as nearly always, that is the text. */
const asTextOf = (text: string): string =>
  Buffer.byteLength(text) === text.length ? text : asText(Buffer.from(text))

/** The content in pieces that are small enough to see by them whether the sending gets on. */
async function* inPieces(content: Readable): AsyncGenerator<Buffer> {
  for await (const bytes of content) {
    const whole = bufferOf(bytes)
    for (let from = 0; from < whole.length; from += pieceLength)
      yield whole.subarray(from, from + pieceLength)
  }
}

/** A body on its way: the header block, then exactly as many bytes of content as were announced. */
export class SentBody {
  /** Why it can't be sent, where that is not the policy server's fault. */
  problem: string | undefined
  private readonly request: ClientRequest
  private readonly sources: Array<Readable> = []

  constructor(request: ClientRequest, file: SentFile) {
    this.request = request
    if (file.bytes === undefined) this.pipe(file)
    else this.sendWhole(file, file.bytes)
  }

  private sendWhole({ header, size }: SentFile, bytes: Uint8Array): void {
    if (bytes.length > size) this.fail("the content is longer than it was")
    else if (bytes.length < size) this.fail("the content is shorter than it was")
    else if (size > mostAsText) this.request.end(Buffer.concat([Buffer.from(header), bytes]))
    else this.request.end(asTextOf(header) + asText(bytes), "latin1")
  }

  private pipe({ header, size, content: open }: SentFile): void {
    const { request } = this
    const source = open()
    const content = Readable.from(inPieces(source), { objectMode: false })
    this.sources.push(content, source)
    let left = size
    // What is small goes out in one piece.
    request.cork()
    request.write(header)
    request.once("close", () => this.stop())
    const unreadable = (error: Error) => this.fail(`the content can't be read: ${error.message}`)
    source.on("error", unreadable)
    content.on("error", unreadable)
    content.once("data", () => process.nextTick(() => request.uncork()))
    content.on("data", (bytes: Uint8Array) => {
      left -= bytes.length
      if (left < 0) this.fail("the content is longer than it was")
    })
    content.once("end", () => (left === 0 ? request.end() : this.fail("the content is shorter than it was")))
    content.pipe(request, { end: false })
  }

  /** Sends no more of it. */
  stop(): void {
    for (const source of this.sources) source.unpipe(this.request).destroy()
  }

  private fail(problem: string): void {
    if (this.problem !== undefined || this.request.writableEnded) return
    this.problem = problem
    this.request.destroy(new Error(problem))
  }
}
