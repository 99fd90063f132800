/**
 * Reads a node stream at its reader's pace: while the reader does not ask for more, the stream is paused. It is neither
 * destroyed, since that would also cut off an answer to the sender, nor drained.
 */
import { IncomingMessage } from "node:http"
import type { Readable } from "node:stream"
import { Effect, type Scope } from "effect"
import * as Acquired from "../Acquired.ts"
import * as ReceivedMemory from "./ReceivedMemory.ts"

/** Who reads a stream; only one effect of these runs at a time. */
export interface StreamReader<E> {
  /** The next bytes, in the pieces in which they come; undefined at the end. Fails where the stream is cut short, behind all that came. */
  readonly next: Effect.Effect<Buffer | undefined, E>
  /** Fills this memory, and gives how many bytes it put there: fewer than there is place for only at the end. */
  readonly fill: (memory: Uint8Array) => Effect.Effect<number, E>
  /**
   * Whether all has come: what the system has of it is waited for, and nothing else. All that comes meanwhile is held in
   * memory. Where it is so, nothing that is read waits for the sender any more.
   */
  readonly isWhole: Effect.Effect<boolean>
  /** The same, and all of it in one piece; undefined: it has not all come, or was cut short, and is still to be read. */
  readonly whole: Effect.Effect<Buffer | undefined>
  /** Gives back bytes that were read and not used: they come next. */
  readonly putBack: (bytes: Uint8Array) => void
  /** Whether the reader waits for the sender now, and not the sender for the reader. */
  readonly isWaiting: () => boolean
  /** Bytes that came so far. */
  readonly received: () => number
}

/**
 * Moves as many bytes as there is place for; gives how many.
 *
 * @param taken is told of each piece of which nothing is left
 */
const pour = (from: Array<Buffer>, into: Uint8Array, taken: (piece: Buffer) => void): number => {
  let used = 0
  for (let next = from[0]; next !== undefined && used < into.length; next = from[0]) {
    const count = Math.min(next.length, into.length - used)
    into.set(count === next.length ? next : next.subarray(0, count), used)
    used += count
    if (count === next.length) {
      from.shift()
      taken(next)
    } else from[0] = next.subarray(count)
  }
  return used
}

/** What `found` gives, now or by the time that the event loop has read what the system has; undefined: nothing. */
const withinTurn = <A>(
  found: () => A | undefined,
  watch: (look: (() => void) | undefined) => void
): Effect.Effect<A | undefined> =>
  Effect.suspend(() => {
    const here = found()
    if (here !== undefined) return Effect.succeed(here)
    return Effect.async((resume) => {
      const end = () => {
        clearImmediate(immediate)
        watch(undefined)
      }
      const tell = (value: A | undefined) => {
        end()
        resume(Effect.succeed(value))
      }
      const immediate = setImmediate(() => tell(found()))
      watch(() => {
        const value = found()
        if (value !== undefined) tell(value)
      })
      return Effect.sync(end)
    })
  })

/** All of these; what is one piece is not copied. */
const joined = (pieces: Array<Buffer>): Buffer => {
  const [only = Buffer.alloc(0), ...more] = pieces.splice(0)
  return more.length === 0 ? only : Buffer.concat([only, ...more])
}

/** What comes in a message was made for its reader, who is this one alone. */
const takenOf = (stream: Readable): ((piece: Buffer) => void) =>
  stream instanceof IncomingMessage ? ReceivedMemory.giveBack : () => {}

type State = "open" | "ended" | "cut"

const stateOf = (stream: Readable, isCut: boolean): State =>
  stream.readableEnded ? "ended" : isCut || stream.destroyed ? "cut" : "open"

const listen = <E>(stream: Readable, cut: E, isCut: boolean, taken = takenOf(stream)) => {
  /** What came, and was not taken yet. */
  const held: Array<Buffer> = []
  let state = stateOf(stream, isCut)
  let received = 0
  /** Looks whether enough has come for the effect that waits; undefined: none waits. */
  let look: (() => void) | undefined

  const onData = (bytes: Buffer) => {
    received += bytes.length
    held.push(bytes)
    if (look === undefined) stream.pause()
    else look()
  }
  const onEnd = () => {
    if (state === "open") state = "ended"
    look?.()
  }
  const onCut = () => {
    // "close" also follows the end of a whole stream.
    if (state === "open") takeRest()
    look?.()
  }
  /** A stream that broke off emits no more "data", but what it still holds can be read: all at once, since it is paused. */
  const takeRest = () => {
    state = "cut"
    stream.off("data", onData).pause()
    const rest: unknown = stream.read()
    if (!(rest instanceof Buffer)) return
    received += rest.length
    held.push(rest)
  }
  stream.pause()
  if (state === "cut") takeRest()
  stream.on("data", onData).on("end", onEnd).on("error", onCut).on("close", onCut)

  /** Waits until `enough` gives an effect; as long as it gives undefined, more bytes are needed. */
  const wait = <A>(enough: () => Effect.Effect<A, E> | undefined): Effect.Effect<A, E> =>
    Effect.async((resume) => {
      look = () => {
        const found = enough()
        if (found === undefined) return
        look = undefined
        resume(found)
      }
      look()
      if (look === undefined) return
      stream.resume()
      return Effect.sync(() => watch(undefined))
    })

  const watch = (next: (() => void) | undefined) => {
    look = next
    if (next === undefined) stream.pause()
    else stream.resume()
  }

  const reader: StreamReader<E> = {
    isWhole: Effect.map(
      withinTurn(() => (state === "open" ? undefined : true), watch),
      Boolean
    ),
    whole: withinTurn(() => (state === "ended" ? joined(held) : undefined), watch),
    next: wait(() => {
      const bytes = held.shift()
      if (bytes !== undefined) return Effect.succeed(bytes)
      return state === "cut" ? Effect.fail(cut) : state === "ended" ? Effect.succeed(undefined) : undefined
    }),
    fill: (memory) =>
      Effect.suspend(() => {
        let used = 0
        return wait(() => {
          used += pour(held, memory.subarray(used), taken)
          if (used === memory.length || state === "ended") return Effect.succeed(used)
          return state === "cut" ? Effect.fail(cut) : undefined
        })
      }),
    putBack: ({ buffer, byteOffset, length }) => {
      if (length > 0) held.unshift(Buffer.from(buffer, byteOffset, length))
    },
    isWaiting: () => look !== undefined,
    received: () => received
  }
  const leave = () => {
    stream.off("data", onData).off("end", onEnd).off("error", onCut).off("close", onCut)
    stream.pause()
  }
  return { reader, leave }
}

/**
 * The reader of a stream, which has no other; it lets go of the stream with its scope.
 *
 * @param cut what it fails with where the stream breaks off
 * @param isCut it has broken off already, and the stream itself does not say so
 */
export const open = <E>(
  stream: Readable,
  cut: E,
  isCut = false
): Effect.Effect<StreamReader<E>, never, Scope.Scope> =>
  Acquired.acquireWith(() => {
    const { reader, leave } = listen(stream, cut, isCut)
    return { made: reader, release: leave }
  })
