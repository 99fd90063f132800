/** A file's way into a request to the policy server. */
import type { ClientRequest } from "node:http"
import { Readable } from "node:stream"
import type { SentFile } from "./Upstream.ts"

/** So many bytes at a time: few enough for a policy server to take them within `shared_files.forward_timeout`, also over a slow line. */
const pieceLength = 64 * 1024

/** The content in pieces that are small enough to see by them whether the sending gets on. */
async function* inPieces(content: Readable): AsyncGenerator<Buffer> {
  for await (const bytes of content) {
    const whole: Uint8Array = bytes
    for (let from = 0; from < whole.length; from += pieceLength)
      yield Buffer.from(whole.buffer, whole.byteOffset + from, Math.min(pieceLength, whole.length - from))
  }
}

/** A body on its way: the header block, then exactly as many bytes of content as were announced. */
export class SentBody {
  /** Why it can't be sent, where that is not the policy server's fault. */
  problem: string | undefined
  private readonly request: ClientRequest
  private readonly source: Readable
  private readonly content: Readable

  constructor(request: ClientRequest, { header, size, content }: SentFile) {
    this.request = request
    this.source = content()
    this.content = Readable.from(inPieces(this.source), { objectMode: false })
    let left = size
    // What is small goes out in one piece.
    request.cork()
    request.write(header)
    request.once("close", () => this.stop())
    const unreadable = (error: Error) => this.fail(`the content can't be read: ${error.message}`)
    this.source.on("error", unreadable)
    this.content.on("error", unreadable)
    this.content.once("data", () => process.nextTick(() => request.uncork()))
    this.content.on("data", (bytes: Uint8Array) => {
      left -= bytes.length
      if (left < 0) this.fail("the content is longer than it was")
    })
    this.content.once("end", () =>
      left === 0 ? request.end() : this.fail("the content is shorter than it was")
    )
    this.content.pipe(request, { end: false })
  }

  /** Sends no more of it. */
  stop(): void {
    this.content.unpipe(this.request)
    this.content.destroy()
    this.source.destroy()
  }

  private fail(problem: string): void {
    if (this.problem !== undefined || this.request.writableEnded) return
    this.problem = problem
    this.request.destroy(new Error(problem))
  }
}
