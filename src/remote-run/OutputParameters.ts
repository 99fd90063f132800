/** What of a run's output a caller asks for: the query of `remote-run/runs/{id}/output`, decoded. */
import { Either, Schema } from "effect"
import { invalid, WholeNumber } from "../http/Query.ts"
import { NodeId } from "../NodeId.ts"
import type { InvalidRequest } from "../RelayError.ts"
import type { RunFormat } from "./journal/RunFormat.ts"
import { nodeChoices } from "./NodeChoice.ts"
import { type Entries, single } from "./Parameter.ts"
import type { Verdict } from "./RunEvent.ts"
import { decodeOutputFormat } from "./RunParameters.ts"

/** One of `nodeChoices`. */
export const NodeChoice = Schema.Literal(...nodeChoices)
export type NodeChoice = typeof NodeChoice.Type

/** What a caller wants to see of a run. */
export interface OutputParameters {
  readonly format: RunFormat
  /** Only these nodes; undefined: all. */
  readonly nodes: ReadonlySet<NodeId> | undefined
  /** Only lines of this stream; undefined: those that the format has. */
  readonly stream: "stdout" | "stderr" | undefined
  /** Only nodes in this state; undefined: in any. */
  readonly state: NodeChoice | undefined
  /** How many events the caller has, pings not counted. */
  readonly from: number
}

const verdicts: ReadonlyArray<Verdict> = ["ok", "failed", "skipped", "unreported"]

/** How a node has to have ended for a choice; undefined where the choice is none of ends. */
export const endsOf = (choice: NodeChoice): ReadonlySet<Verdict> | undefined => {
  if (choice === "ended") return new Set(verdicts)
  const verdict = verdicts.find((one) => one === choice)
  return verdict === undefined ? undefined : new Set([verdict])
}

const Stream = Schema.Literal("stdout", "stderr")
const NodeIds = Schema.compose(Schema.split(","), Schema.Array(NodeId))

const decoded = <A, I extends string>(
  query: Entries,
  name: string,
  schema: Schema.Schema<A, I>,
  expected: string
): Either.Either<A | undefined, InvalidRequest> =>
  Either.flatMap(single(query, name), (text) =>
    text === undefined
      ? Either.right(undefined)
      : Either.mapLeft(Schema.decodeUnknownEither(schema)(text), () =>
          invalid(name, `${expected}, got ${JSON.stringify(text.slice(0, 100))}`)
        )
  )

/** Fails with `InvalidRequest`, which names the parameter. Each may stand once. */
export const decode = (
  query: Entries,
  accept: string | undefined
): Either.Either<OutputParameters, InvalidRequest> =>
  Either.gen(function* () {
    const nodes = yield* decoded(query, "node", NodeIds, "a comma list of node ids")
    return {
      format: yield* decodeOutputFormat(query, accept),
      nodes: nodes === undefined ? undefined : new Set(nodes),
      stream: yield* decoded(query, "stream", Stream, Stream.literals.join(" or ")),
      state: yield* decoded(query, "state", NodeChoice, NodeChoice.literals.join(", ")),
      from: (yield* decoded(query, "from", WholeNumber, "a whole number of events, 0 or more")) ?? 0
    }
  })

const decodeEventId = Schema.decodeOption(WholeNumber)

/** The last event that an sse client has, by its header `Last-Event-ID`; 0: none. */
export const decodeLastEventId = (text: string | undefined): Either.Either<number, InvalidRequest> =>
  text === undefined || text === ""
    ? Either.right(0)
    : Either.fromOption(decodeEventId(text), () => invalid("Last-Event-ID", "a whole number"))
