/**
 * Reads a node stream at its reader's pace: while the reader does not ask for more, the stream is paused. It is neither
 * destroyed, since that would also cut off an answer to the sender, nor drained.
 */
import { IncomingMessage } from "node:http"
import type { Readable } from "node:stream"
import { Effect, type Scope } from "effect"
import * as Acquired from "../Acquired.ts"
import { bufferOf } from "../Bytes.ts"
import * as ReceivedMemory from "./ReceivedMemory.ts"

/** Who reads a stream; only one effect of these runs at a time. */
export interface StreamReader<E> {
  /**
   * The next bytes, in the pieces in which they come; undefined at the end. Fails where the stream is cut short, behind all
   * that came.
   */
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

/** Whether node has all of a message in memory: it can be taken, and nothing is to be heard of it any more. */
const hasCome = (stream: Readable): boolean => stream instanceof IncomingMessage && stream.complete

/** What a reader hears of its stream. */
interface Ears {
  readonly onData: (bytes: Buffer) => void
  readonly onEnd: () => void
  readonly onCut: () => void
}

/** What it has is made when that is asked for: a small body is read by one of these effects. */
class Reader<E> implements StreamReader<E> {
  private readonly stream: Readable
  private readonly cut: E
  private readonly taken: (piece: Buffer) => void
  /** What came, and was not taken yet. */
  private readonly held: Array<Buffer> = []
  private state: State
  private count = 0
  /** Looks whether enough has come for the effect that waits; undefined: none waits. */
  private look: (() => void) | undefined = undefined
  private readonly ears: Ears | undefined

  constructor(stream: Readable, cut: E, isCut: boolean) {
    this.stream = stream
    this.cut = cut
    this.taken = takenOf(stream)
    this.state = stateOf(stream, isCut)
    if (this.state === "open" && hasCome(stream)) {
      this.takeRest("ended")
      this.ears = undefined
      return
    }
    stream.pause()
    if (this.state === "cut") this.takeRest("cut")
    this.ears = this.listen()
  }

  get isWhole(): Effect.Effect<boolean> {
    return Effect.map(
      withinTurn(
        () => (this.state === "open" ? undefined : true),
        (look) => this.watch(look)
      ),
      Boolean
    )
  }

  get whole(): Effect.Effect<Buffer | undefined> {
    return withinTurn(
      () => (this.state === "ended" ? joined(this.held) : undefined),
      (look) => this.watch(look)
    )
  }

  get next(): Effect.Effect<Buffer | undefined, E> {
    return this.wait(() => {
      const bytes = this.held.shift()
      if (bytes !== undefined) return Effect.succeed(bytes)
      if (this.state === "cut") return Effect.fail(this.cut)
      return this.state === "ended" ? Effect.succeed(undefined) : undefined
    })
  }

  get fill(): (memory: Uint8Array) => Effect.Effect<number, E> {
    return (memory) =>
      Effect.suspend(() => {
        let used = 0
        return this.wait(() => {
          used += pour(this.held, memory.subarray(used), this.taken)
          if (used === memory.length || this.state === "ended") return Effect.succeed(used)
          return this.state === "cut" ? Effect.fail(this.cut) : undefined
        })
      })
  }

  get putBack(): (bytes: Uint8Array) => void {
    return (bytes) => {
      if (bytes.length > 0) this.held.unshift(bufferOf(bytes))
    }
  }

  get isWaiting(): () => boolean {
    return () => this.look !== undefined
  }

  get received(): () => number {
    return () => this.count
  }

  /** Lets go of the stream. */
  leave(): void {
    if (this.ears === undefined) return
    const { onData, onEnd, onCut } = this.ears
    this.stream.off("data", onData).off("end", onEnd).off("error", onCut).off("close", onCut)
    this.stream.pause()
  }

  private listen(): Ears {
    const onData = (bytes: Buffer) => {
      this.count += bytes.length
      this.held.push(bytes)
      if (this.look === undefined) this.stream.pause()
      else this.look()
    }
    const onEnd = () => {
      if (this.state === "open") this.state = "ended"
      this.look?.()
    }
    const onCut = () => {
      // "close" also follows the end of a whole stream.
      if (this.state === "open") {
        this.stream.off("data", onData).pause()
        this.takeRest("cut")
      }
      this.look?.()
    }
    this.stream.on("data", onData).on("end", onEnd).on("error", onCut).on("close", onCut)
    return { onData, onEnd, onCut }
  }

  /**
   * Of a stream that broke off, or has come, nothing more is heard, but what it still holds can be read: all at once, as it
   * is paused.
   */
  private takeRest(state: State): void {
    this.state = state
    const rest: unknown = this.stream.read()
    if (!(rest instanceof Buffer)) return
    this.count += rest.length
    this.held.push(rest)
  }

  /** Waits until `enough` gives an effect; as long as it gives undefined, more bytes are needed. */
  private wait<A>(enough: () => Effect.Effect<A, E> | undefined): Effect.Effect<A, E> {
    return Effect.async((resume) => {
      this.look = () => {
        const found = enough()
        if (found === undefined) return
        this.look = undefined
        resume(found)
      }
      this.look()
      if (this.look === undefined) return
      this.stream.resume()
      return Effect.sync(() => this.watch(undefined))
    })
  }

  private watch(next: (() => void) | undefined): void {
    this.look = next
    if (next === undefined) this.stream.pause()
    else this.stream.resume()
  }
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
    const reader = new Reader(stream, cut, isCut)
    return { made: reader, release: () => reader.leave() }
  })
