/**
 * A response whose end is told also when its connection was lost: node tells of the end of what was sent ("finish") and
 * not that it never will be, and the platform waits for the one with a handler that nothing interrupts.
 */
import { type IncomingMessage, ServerResponse } from "node:http"

type Told = () => void

const isTold = (value: unknown): value is Told => typeof value === "function"

/** For node's option `ServerResponse`. */
export class LostResponse<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
  override end(told?: Told): this
  override end(chunk: unknown, told?: Told): this
  override end(chunk: unknown, encoding: BufferEncoding, told?: Told): this
  override end(...given: ReadonlyArray<unknown>): this {
    const told = given.find(isTold)
    if (told !== undefined) this.tell(told)
    const [chunk, encoding] = given.filter((value) => !isTold(value))
    return typeof encoding === "string" && Buffer.isEncoding(encoding)
      ? super.end(chunk, encoding)
      : super.end(chunk)
  }

  /** Once, however the response ends. */
  private tell(told: Told): void {
    if (this.closed || this.destroyed) return void setImmediate(told)
    const over = () => {
      this.off("finish", over).off("close", over)
      told()
    }
    this.once("finish", over).once("close", over)
  }
}
