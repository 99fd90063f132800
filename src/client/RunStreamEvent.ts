/** What a run's stream says, event by event, as a client sees it: the run's events, the lines of output, and pings. */
import { Either, Option, ParseResult, Predicate, Schema } from "effect"
import { RunEvent } from "../remote-run/RunEvent.ts"

/** A line that an agent printed, without its newline. */
export const OutputEvent = Schema.Struct({
  event: Schema.Literal("output"),
  node: Schema.String,
  stream: Schema.Literal("stdout", "stderr"),
  /** What is not UTF-8 in it is U+FFFD. */
  line: Schema.String,
  /** Its bytes, where they are not UTF-8. */
  base64: Schema.optional(Schema.String),
  /** The line goes on in the next event of its node and stream: it is over 64 KiB. */
  partial: Schema.optional(Schema.Literal(true)),
  /** The last line of its stream has no newline behind it. */
  unterminated: Schema.optional(Schema.Literal(true))
})
export type OutputEvent = typeof OutputEvent.Type

/** Sent after 15 s without another event, so that proxies keep the connection open. */
export const PingEvent = Schema.Struct({ event: Schema.Literal("ping") })
export type PingEvent = typeof PingEvent.Type

/** Anything that a run's stream says. `run` is first, `done` last, and every node has one `end`. */
export const RunStreamEvent = Schema.Union(RunEvent, OutputEvent, PingEvent)
export type RunStreamEvent = typeof RunStreamEvent.Type

/** The bytes of a line, as the agent printed them, without its newline. */
export const bytesOf = ({ line, base64 }: OutputEvent): Uint8Array =>
  base64 === undefined ? Buffer.from(line) : Buffer.from(base64, "base64")

const decodeJson = Schema.decodeUnknownEither(Schema.parseJson())
const decodeEvent = Schema.decodeUnknownEither(RunStreamEvent)
const known: ReadonlySet<string> = new Set(["run", "start", "end", "done", "output", "ping"])

/** An event of a kind that a newer relay has. */
const isUnknown = (value: unknown): boolean =>
  Predicate.hasProperty(value, "event") && typeof value.event === "string" && !known.has(value.event)

/** A line of ndjson; none for an event of a kind that a newer relay has. Fails with what is wrong with the line. */
export const decode = (line: Uint8Array): Either.Either<Option.Option<RunStreamEvent>, string> =>
  decodeJson(Buffer.from(line.buffer, line.byteOffset, line.length).toString("utf8")).pipe(
    Either.flatMap((value) =>
      isUnknown(value) ? Either.right(Option.none()) : Either.map(decodeEvent(value), Option.some)
    ),
    Either.mapLeft((error) => ParseResult.TreeFormatter.formatErrorSync(error))
  )
