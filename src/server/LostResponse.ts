/**
 * A response that calls back when it ended, also where its connection was lost. Node calls back at "finish" only, which
 * never comes on a lost connection, and the platform waits for that call in a fiber that can't be interrupted.
 */
import { type IncomingMessage, ServerResponse } from "node:http"

type Told = () => void

const isTold = (value: unknown): value is Told => typeof value === "function"

/** The class of response that node's server is to make, by its option `ServerResponse`. */
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
