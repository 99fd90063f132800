/** A run as a stream of events, which is taken up again where it was cut. */

import type { HttpClientResponse } from "@effect/platform"
import { Chunk, Data, Duration, Effect, Either, Option, Schedule, Schema, Stream } from "effect"
import { bufferOf } from "../Bytes.ts"
import type { RunStreamEvent } from "../remote-run/RunStreamEvent.ts"
import { LineCutter } from "../remote-run/sub-relays/LineCutter.ts"
import * as Resumption from "../remote-run/sub-relays/Resumption.ts"
import { type CallFailure, isWorthAnotherTry, UnexpectedAnswer } from "./ClientError.ts"
import * as EventLine from "./EventLine.ts"

/** The stream was cut, and could not be taken up again. The run itself goes on. */
export class RunCutOff extends Schema.TaggedError<RunCutOff>()("RunCutOff", {
  message: Schema.String,
  /** The run's id, where the relay has said it: `follow` takes it up again. */
  run: Schema.optional(Schema.String),
  /** How many events came, pings not counted: `follow`'s `from`. */
  events: Schema.Int
}) {}

/** Why a run's stream fails. */
export type StreamFailure = CallFailure | RunCutOff

/**
 * When a stream that was cut is asked for again: after a quarter of a second, then twice as long each time, up to 5 s, for
 * a minute in all. From the next event on it counts anew.
 */
export const resuming = Schedule.upTo(Resumption.resuming, "60 seconds")

/** A relay that has nothing to tell says so every 15 s. */
const maxSilence = Duration.seconds(60)

/** An event's longest part is a line, or the end of stderr, of 64 KiB, six times as long where each byte is escaped; or the ids of a form. */
const maxEventLength = 4 * 1024 * 1024

const accepted = 202

type Answer = HttpClientResponse.HttpClientResponse

/** What has been seen of a run. */
export interface Seen {
  /** Its id. */
  readonly run: string | undefined
  /** How many events came, pings not counted. */
  readonly events: number
}

/** Where a run's events come from. */
export interface Source {
  /** What is known at first. */
  readonly seen: Seen
  /** Asks for the events that come after those that were seen. None: there is nothing to run. */
  readonly ask: (seen: Seen) => Effect.Effect<Option.Option<Answer>, CallFailure>
  /** Whether one may ask again in this state, where the answer was cut. */
  readonly canAskAgain: (seen: Seen) => boolean
}

/** What it takes to go on. */
class State {
  run: string | undefined
  events: number
  done = false

  constructor({ run, events }: Seen) {
    this.run = run
    this.events = events
  }
}

/** Inside: there may be more, from another connection. */
class Cut extends Data.TaggedError("Cut")<{ readonly message: string }> {}

/** An event as it came. */
export interface EventOnLine {
  /** The line of ndjson, without its newline. */
  readonly line: Uint8Array
  /** Undefined where it is of a kind that only newer relays have. */
  readonly event: RunStreamEvent | undefined
}

/** The events of a run, each once, in their order, decoded as they are asked for. Ends behind `done`. */
export const make = (source: Source): Stream.Stream<RunStreamEvent, StreamFailure> =>
  Stream.filterMap(lines(source), ({ event }) => Option.fromNullable(event))

/** The same, with the lines, for who passes them on: what this client does not know is still in them. */
export const lines = (source: Source): Stream.Stream<EventOnLine, StreamFailure> =>
  Stream.suspend(() => {
    const state = new State(source.seen)
    const cutOff = ({ message }: Cut) =>
      new RunCutOff({
        message: `the run's stream was cut: ${message}`,
        events: state.events,
        ...(state.run === undefined ? {} : { run: state.run })
      })
    return attempt(source, state).pipe(
      Stream.retry(
        Schedule.whileInput(
          resuming,
          (error: CallFailure | Cut) => error._tag === "Cut" && source.canAskAgain(state)
        )
      ),
      Stream.catchTag("Cut", (cut) => Stream.fail(cutOff(cut))),
      Stream.takeUntil(({ event }) => event?.event === "done")
    )
  })

/** One connection's part. */
const attempt = (source: Source, state: State): Stream.Stream<EventOnLine, CallFailure | Cut> =>
  Stream.unwrap(
    Effect.suspend(() => source.ask(state)).pipe(
      Effect.mapError((error) =>
        source.canAskAgain(state) && isWorthAnotherTry(error) ? new Cut(error) : error
      ),
      Effect.map(
        Option.match({
          onNone: () => Stream.empty,
          onSome: (answer) =>
            Stream.concat(
              events(answer, state),
              Stream.suspend(() => rest(source, state, answer))
            )
        })
      )
    )
  )

const cut = (message: string) => new Cut({ message })

const events = (answer: Answer, state: State) => {
  const cutter = new LineCutter(maxEventLength)
  const reader = new Reader(state)
  return answer.stream.pipe(
    Stream.mapError(() => cut("the connection broke")),
    Stream.timeoutFail(() => cut(`nothing came for ${Duration.format(maxSilence)}`), maxSilence),
    Stream.mapChunksEffect((pieces) => {
      const found: Array<EventOnLine> = []
      for (const piece of pieces) {
        const problem = reader.read(cutter.push(bufferOf(piece)), found)
        if (problem !== undefined)
          return Effect.fail(new UnexpectedAnswer({ status: answer.status, message: problem }))
      }
      return Effect.succeed(Chunk.unsafeFromArray(found))
    })
  )
}

/** Behind an answer's end: a start whose run is not shown (202) has the run's first event alone. */
const rest = (source: Source, state: State, { status }: Answer) => {
  if (state.done) return Stream.empty
  return status === accepted && state.run !== undefined
    ? attempt(source, state)
    : Stream.fail(cut("it ended too early"))
}

/** Reads the events of one connection. */
class Reader {
  private readonly state: State
  private readonly from: number
  /** How many events are to come that came before. */
  private again: number | undefined

  constructor(state: State) {
    this.state = state
    this.from = state.events
  }

  /** Adds what these lines say; gives what is wrong with them. */
  read(lines: ReadonlyArray<Buffer> | undefined, found: Array<EventOnLine>): string | undefined {
    if (lines === undefined) return "sent a line of a run's stream that is too long for an event"
    for (const line of lines) {
      const decoded = EventLine.decode(line)
      if (Either.isLeft(decoded)) return `sent a line of a run's stream that is no event (${decoded.left})`
      const event = Option.getOrUndefined(decoded.right)
      if (event?.event === "ping" || this.isNew(event)) found.push({ line, event })
    }
    return undefined
  }

  /** A relay that does not know `from` begins with the first event, which is no other's: then what came before is left out. */
  private isNew(event: RunStreamEvent | undefined): boolean {
    this.again ??= event?.event === "run" ? this.from : 0
    if (this.again > 0) {
      this.again--
      return false
    }
    this.state.events++
    if (event?.event === "run") this.state.run = event.id
    if (event?.event === "done") this.state.done = true
    return true
  }
}
