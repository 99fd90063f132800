/**
 * The body of an upload, taken from node's stream at the disk's pace. A refusal midway leaves the stream as it is: it
 * is neither destroyed, which would take the answer with it, nor drained.
 */
import type { Readable } from "node:stream"
import { Duration, Effect, Either } from "effect"
import { InvalidRequest } from "../RelayError.ts"
import { type HeaderBlock, HeaderReader } from "./HeaderBlock.ts"

/** More bytes than this wait for the disk, and no more are read. */
const maxWaiting = 4 * 1024 * 1024
/** Small pieces go to the disk together, up to this size. */
const maxWrite = 1024 * 1024

const cut = new InvalidRequest({ message: "the body was cut short" })
const stalled = new InvalidRequest({ message: "the body stopped coming (limits.body_idle_timeout)" })

/** Calls `onBytes` with what comes until it says `done`, the stream ends, breaks, or stops for too long. */
const listen = <A, E>(
  stream: Readable,
  idle: Duration.Duration,
  handler: {
    readonly onBytes: (bytes: Buffer, finish: (result: Effect.Effect<A, E>) => void) => void
    readonly onEnd: (finish: (result: Effect.Effect<A, E>) => void) => void
    /** What comes is waited for; while this says no, it is the reader that is waited for. */
    readonly wanting: () => boolean
  }
): Effect.Effect<A, E | InvalidRequest> =>
  Effect.async((resume) => {
    let last = performance.now()
    const timer = setInterval(
      () => {
        if (!handler.wanting()) last = performance.now()
        else if (performance.now() - last > Duration.toMillis(idle)) finish(Effect.fail(stalled))
      },
      Math.min(Duration.toMillis(idle), 1000)
    )
    const finish = (result: Effect.Effect<A, E | InvalidRequest>) => {
      clearInterval(timer)
      stream.off("data", onData).off("end", onEnd).off("error", onCut).off("close", onCut)
      stream.pause()
      resume(result)
    }
    const onData = (bytes: Buffer) => {
      last = performance.now()
      handler.onBytes(bytes, finish)
    }
    const onCut = () => finish(Effect.fail(cut))
    const onEnd = () => {
      // A stream that ended closes too; what it brought may still be on its way to the disk.
      stream.off("close", onCut)
      handler.onEnd(finish)
    }
    stream.on("data", onData).on("end", onEnd).on("error", onCut).on("close", onCut)
    if (stream.readableEnded) onEnd()
    else if (stream.destroyed) onCut()
    else stream.resume()
    return Effect.sync(() => finish(Effect.never))
  })

/** The header block at the body's beginning, and how many bytes it took; what comes behind it is still to be read. */
export const readHeader = (
  stream: Readable,
  idle: Duration.Duration
): Effect.Effect<{ readonly block: HeaderBlock; readonly length: number }, InvalidRequest> => {
  const reader = new HeaderReader()
  return listen<{ readonly block: HeaderBlock; readonly length: number }, InvalidRequest>(stream, idle, {
    wanting: () => true,
    onEnd: (finish) =>
      finish(Effect.fail(new InvalidRequest({ message: "header block: the body ends in it" }))),
    onBytes: (bytes, finish) => {
      const found = reader.push(bytes)
      if (Either.isLeft(found)) return finish(Effect.fail(found.left))
      if (found.right === undefined) return
      const { block, length, rest } = found.right
      finish(Effect.succeed({ block, length }))
      if (rest.length > 0) stream.unshift(Buffer.from(rest))
    }
  })
}

/** Writes the body, up to a limit of bytes, and gives its length. Each piece is shown to `onPiece` before it is written. */
export const receive = <E>(
  stream: Readable,
  options: {
    readonly idle: Duration.Duration
    /** Fails with `tooLong` past this many bytes. */
    readonly limit: number
    readonly tooLong: E
    readonly onPiece: (bytes: Uint8Array) => void
    readonly write: (bytes: Uint8Array) => Promise<void>
    readonly failed: (cause: unknown) => E
  }
): Effect.Effect<number, E | InvalidRequest> => {
  let waiting: Array<Buffer> = []
  let inFlight = 0
  let length = 0
  let writing = false
  let ended: (() => void) | undefined
  const write = async (): Promise<void> => {
    while (waiting.length > 0) {
      const parts: Array<Buffer> = []
      let size = 0
      while (waiting.length > 0 && size < maxWrite) {
        const part = waiting.shift()
        if (part === undefined) break
        parts.push(part)
        size += part.length
      }
      const [only] = parts
      await options.write(parts.length === 1 && only !== undefined ? only : Buffer.concat(parts))
      inFlight -= size
      if (inFlight < maxWaiting / 2 && stream.isPaused()) stream.resume()
    }
    writing = false
    ended?.()
  }
  return listen<number, E>(stream, options.idle, {
    wanting: () => inFlight < maxWaiting,
    onEnd: (finish) => {
      if (!writing) finish(Effect.succeed(length))
      else ended = () => finish(Effect.succeed(length))
    },
    onBytes: (bytes, finish) => {
      length += bytes.length
      if (length > options.limit) return finish(Effect.fail(options.tooLong))
      options.onPiece(bytes)
      waiting.push(bytes)
      inFlight += bytes.length
      if (inFlight >= maxWaiting) stream.pause()
      if (writing) return
      writing = true
      write().catch((cause: unknown) => {
        waiting = []
        finish(Effect.fail(options.failed(cause)))
      })
    }
  })
}
