/** What a run's stream says, decoded as a client gets it: line by line of ndjson. */

import { Either, Option, ParseResult, Predicate, Schema } from "effect"
import { bufferOf } from "../Bytes.ts"
import { type OutputEvent, RunStreamEvent } from "../remote-run/RunStreamEvent.ts"

/** The bytes of a line, as the agent printed them, without its newline. */
export const bytesOf = ({ line, base64 }: OutputEvent): Uint8Array =>
  base64 === undefined ? Buffer.from(line) : Buffer.from(base64, "base64")

const decodeJson = Schema.decodeUnknownEither(Schema.parseJson())
const decodeEvent = Schema.decodeUnknownEither(RunStreamEvent)
const known: ReadonlySet<string> = new Set(["run", "start", "end", "done", "output", "ping"])

/** An event of a kind that a newer relay has. */
const isUnknown = (value: unknown): boolean =>
  Predicate.hasProperty(value, "event") && typeof value.event === "string" && !known.has(value.event)

/** Which field is wrong: more is said by the types, at length, and to nobody who reads it. */
const problemOf = (error: ParseResult.ParseError): string => {
  const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
  return issue === undefined || issue.path.length === 0 ? "it is no JSON of one" : issue.path.join(".")
}

/** A line of ndjson; none for an event of a kind that a newer relay has. Fails with what is wrong with the line. */
export const decode = (line: Uint8Array): Either.Either<Option.Option<RunStreamEvent>, string> =>
  decodeJson(bufferOf(line).toString("utf8")).pipe(
    Either.flatMap((value) =>
      isUnknown(value) ? Either.right(Option.none()) : Either.map(decodeEvent(value), Option.some)
    ),
    Either.mapLeft(problemOf)
  )
