/**
 * The body of an upload, taken from node's stream at the disk's pace. A refusal midway leaves the stream as it is: it
 * is neither destroyed, which would take the answer with it, nor drained.
 */
import type { Readable } from "node:stream"
import { type Duration, Effect, Either, Option } from "effect"
import type { Hashing } from "../../disk/Hasher.ts"
import { InvalidRequest, type RequestTimeout } from "../../RelayError.ts"
import { type HeaderBlock, HeaderReader } from "../file/HeaderBlock.ts"
import { Blocks } from "./Blocks.ts"
import * as UploadPace from "./UploadPace.ts"

const cut = new InvalidRequest({ message: "the body was cut short" })

interface Handler<A, E> {
  readonly onBytes: (bytes: Buffer, finish: (result: Effect.Effect<A, E>) => void) => void
  readonly onEnd: (finish: (result: Effect.Effect<A, E>) => void) => void
  /** What comes is waited for; while this says no, it is the reader that is waited for. */
  readonly wanting: () => boolean
}

/** Calls `onBytes` with what comes until it says `done`, the stream ends or breaks. */
const take = <A, E>(
  stream: Readable,
  pace: UploadPace.UploadPace,
  handler: Handler<A, E>
): Effect.Effect<A, E | InvalidRequest> =>
  Effect.async((resume) => {
    const finish = (result: Effect.Effect<A, E | InvalidRequest>) => {
      stream.off("data", onData).off("end", onEnd).off("error", onCut).off("close", onCut)
      stream.pause()
      resume(result)
    }
    const onData = (bytes: Buffer) => {
      pace.came(bytes.length)
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

/** The same, unless what comes is too slow. */
const listen = <A, E>(
  stream: Readable,
  limits: UploadPace.PaceLimits,
  handler: Handler<A, E>
): Effect.Effect<A, E | InvalidRequest | RequestTimeout> =>
  Effect.suspend(() => {
    const pace = UploadPace.make(limits)
    return Effect.raceFirst(take(stream, pace, handler), UploadPace.watch(pace, limits.idle, handler.wanting))
  })

/** The header block at the body's beginning, and how many bytes it took; what comes behind it is still to be read. */
export const readHeader = (
  stream: Readable,
  idle: Duration.Duration
): Effect.Effect<
  { readonly block: HeaderBlock; readonly length: number },
  InvalidRequest | RequestTimeout
> => {
  const reader = new HeaderReader()
  return listen<{ readonly block: HeaderBlock; readonly length: number }, InvalidRequest>(
    stream,
    { idle, minRate: 0 },
    {
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
    }
  )
}

/** Takes the body to the disk and through the hash, up to a limit of bytes; gives its length and the hash. */
export const receive = <E>(
  stream: Readable,
  options: {
    readonly pace: UploadPace.PaceLimits
    /** Bytes that were announced. */
    readonly expected: Option.Option<number>
    /** Fails with `tooLong` past this many bytes. */
    readonly limit: number
    readonly tooLong: E
    readonly hashing: Hashing
    /** Called in turn. */
    readonly write: (bytes: Uint8Array) => Promise<void>
    readonly failed: (cause: unknown) => E
  }
): Effect.Effect<{ readonly size: number; readonly digest: Buffer }, E | InvalidRequest | RequestTimeout> => {
  const { hashing } = options
  let size = 0
  let written = Promise.resolve()
  const write = (bytes: Uint8Array) => {
    written = written.then(() => options.write(bytes))
    return written
  }
  const use = async (block: Uint8Array) => {
    await Promise.all([write(block), hashing.update(block)])
  }
  const blocks = new Blocks(use, Option.getOrUndefined(options.expected))
  const end = async () => {
    const last = await blocks.last()
    const [digest] = await Promise.all([hashing.digest(last), write(last)])
    return { size, digest }
  }
  return listen<{ readonly size: number; readonly digest: Buffer }, E>(stream, options.pace, {
    wanting: () => blocks.hasRoom && !stream.readableEnded,
    onEnd: (finish) =>
      void end().then(
        (received) => finish(Effect.succeed(received)),
        (cause: unknown) => finish(Effect.fail(options.failed(cause)))
      ),
    onBytes: (bytes, finish) => {
      size += bytes.length
      if (size > options.limit) return finish(Effect.fail(options.tooLong))
      blocks.push(
        bytes,
        () => stream.resume(),
        (cause) => finish(Effect.fail(options.failed(cause)))
      )
      if (!blocks.hasRoom) stream.pause()
    }
  })
}
