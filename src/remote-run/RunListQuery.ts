/** What the list of runs is asked for, decoded from the query. */
import { Either, Option, Schema } from "effect"
import * as DateTime from "../http/DateTime.ts"
import * as Query from "../http/Query.ts"
import { NodeId } from "../NodeId.ts"
import type { InvalidRequest } from "../RelayError.ts"
import type { RunSelection } from "./journal/RunListing.ts"
import { type Entries, single } from "./Parameter.ts"
import { RunId } from "./RunId.ts"

/** A page of the list. */
export interface RunListQuery {
  /** How many runs, 1 to 1000. */
  readonly limit: number
  readonly selection: RunSelection
}

const Actor = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(200))

/** RFC 3339's date with a time, or its date alone, which is midnight UTC; a `+` that the query made a space is one again. */
const parseSince = (text: string): Option.Option<number> =>
  Option.orElse(DateTime.parse(text.replace(/ (\d{2}:\d{2})$/, "+$1")), () =>
    DateTime.parse(`${text}T00:00:00Z`)
  )

const State = Schema.Literal("running", "ended")

/** `InvalidRequest` names the parameter that is not what was expected. */
export const decode = (query: Entries): Either.Either<RunListQuery, InvalidRequest> =>
  Either.gen(function* () {
    const entries = [...query]
    const parameter = <A>(
      name: string,
      expected: string,
      read: (text: string) => Option.Option<A>
    ): Either.Either<Option.Option<A>, InvalidRequest> =>
      Either.flatMap(single(entries, name), (text) => Query.read(name, text, expected, read))
    return {
      limit: yield* Either.flatMap(single(entries, "limit"), Query.limit),
      selection: {
        before: yield* parameter("before", "a run's id", Schema.decodeOption(RunId)),
        since: yield* parameter(
          "since",
          "an RFC 3339 date, such as 2026-01-05T09:00:00Z or 2026-01-05",
          parseSince
        ),
        node: yield* parameter("node", "a node's id", Schema.decodeOption(NodeId)),
        actor: yield* parameter("actor", "1 to 200 characters", Schema.decodeOption(Actor)),
        state: yield* parameter("state", "running or ended", Schema.decodeUnknownOption(State))
      }
    }
  })
