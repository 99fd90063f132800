/** The line that says on a terminal how far a file has come: bytes and their rate. */
import { Clock, Effect, Stream } from "effect"
import * as Amount from "./Amount.ts"
import * as Screen from "./Screen.ts"
import * as TextWidth from "./TextWidth.ts"

/** How far it has come. */
export interface Transfer {
  /** What is done with it now. */
  readonly doing: string
  /** Bytes. */
  readonly done: number
  /** Bytes. */
  readonly size: number
  /** Milliseconds since this was begun. */
  readonly elapsed: number
}

/** The line, in at most so many columns. */
export const render = ({ doing, done, size, elapsed }: Transfer, width: number): string => {
  const part = size === 0 ? 100 : Math.min(100, Math.floor((done / size) * 100))
  const rate = elapsed === 0 ? "" : `, ${Amount.size((done / elapsed) * 1000)}/s`
  const left = done === 0 || elapsed < 1000 ? 0 : ((size - done) / done) * (elapsed / 1000)
  const rest = left < 1 ? "" : `, ${Amount.seconds(Math.round(left))} left`
  const text = `${doing}: ${Amount.size(done)} of ${Amount.size(size)} (${part}%)${rate}${rest}`
  return TextWidth.cut(text, Math.max(1, width - 1))
}

/** A line that is written over again and again. */
export interface TransferLine {
  /** The content, counted as it is read. The first time that it is read it is signed, and then it is sent. */
  readonly track: <E, R>(content: Stream.Stream<Uint8Array, E, R>) => Stream.Stream<Uint8Array, E, R>
  /** Takes the line away. */
  readonly clear: Effect.Effect<void>
}

/** How often the line may change: quicker is not seen. Milliseconds. */
const pause = 100

const steps = ["signing", "sending"]

/** Takes the line away, with what was on it. */
const erase = "\r\u001b[K"

/** A line on stderr for a file of so many bytes; where that is no terminal, nothing is written. */
export const make = (size: number, stream: NodeJS.WriteStream = process.stderr): TransferLine => {
  const screen = Screen.of(stream)
  if (!screen.isTerminal) return { track: (content) => content, clear: Effect.void }
  let reads = 0
  return {
    track: (content) =>
      Stream.unwrap(
        Effect.map(Clock.currentTimeMillis, (began) => {
          const doing = steps[Math.min(reads++, steps.length - 1)] ?? ""
          let done = 0
          let shown = began - pause
          return Stream.tap(content, (piece) =>
            Effect.map(Clock.currentTimeMillis, (now) => {
              done += piece.length
              if (now - shown < pause && done < size) return
              shown = now
              stream.write(erase + render({ doing, done, size, elapsed: now - began }, screen.width()))
            })
          )
        })
      ),
    clear: Effect.sync(() => void stream.write(erase))
  }
}
