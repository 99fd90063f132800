/**
 * The parameters of remote runs as the API's description has them. `RunParameters` decodes those that start a run, from
 * query and form together: the form wins, and names have v1 aliases.
 */
import { HttpApiSchema } from "@effect/platform"
import { Schema } from "effect"
import * as Described from "../http/Described.ts"
import * as Operation from "../http/Operation.ts"
import * as ClassName from "./ClassName.ts"
import { NodeChoice } from "./OutputParameters.ts"
import * as RunId from "./RunId.ts"
import { RestReason } from "./RunRest.ts"

const nodeIds = Described.list(Described.nodeId)
const classNames = Described.list({ pattern: ClassName.pattern.source, examples: ["audit"] })
const boolean = { pattern: "^([tT][rR][uU][eE]|[fF][aA][lL][sS][eE])$", examples: ["true"] }

/** So many nodes, or such a part of them. */
const share = { pattern: "^([0-9]{1,9}|[0-9]{1,3}(\\.[0-9]{1,3})?%)$", examples: ["20", "10%"] }
/** What a caller says in words. */
const words = { maxLength: 200 }

type Parameter<Field> = (description: string, form: Described.Form) => Field

/** Of the routes that start a run, in query or form. */
const start = <Field extends Schema.Struct.Field>(parameter: Parameter<Field>) => ({
  output: parameter("whether the lines that agents print are answered and kept", {
    enum: ["keep", "discard"],
    default: "discard"
  }),
  async: parameter("`yes`: lines as they are printed, or, where they are discarded, no waiting at all", {
    enum: ["yes", "no"],
    default: "no"
  }),
  classes: parameter("CFEngine classes to define, at most 100 KiB in all", classNames),
  format: parameter(
    "how the run is answered; default: what `Accept` names, else `raw` in the v1 dialect and `text`",
    {
      enum: ["text", "ndjson", "raw"]
    }
  ),
  keep_output: parameter("the v1 name of `output`", boolean),
  asynchronous: parameter("the v1 name of `async`", boolean),
  conditions: parameter("the v1 name of `classes`, which counts where both are there", classNames),
  batch: parameter(
    "so many nodes at a time, in the order of the list; the next ones when all of these have ended",
    share
  ),
  batch_wait: parameter("so long after the last end of a batch the next one starts", Described.duration),
  canary: parameter(
    "the size of the first batch; the rest starts only when all of it ended with code 0",
    share
  ),
  max_failures: parameter(
    "when more nodes than these have not ended with code 0, no other is started",
    share
  ),
  splay: parameter("each start is put off by a random part of this", Described.duration),
  preview: parameter("nothing is run: the answer is what would be", { enum: ["yes"] }),
  actor: parameter("who asks: kept with the run, and in the log", words),
  reason: parameter("why: likewise", words)
})

const nodes = <Field extends Schema.Struct.Field>(parameter: Parameter<Field>) => ({
  nodes: parameter("the nodes' ids; may come more than once", nodeIds)
})

const only = <Field extends Schema.Struct.Field>(parameter: Parameter<Field>) => ({
  only: parameter("which of its nodes that are not ok; default: all", {
    type: "array",
    items: { type: "string", enum: RestReason.literals }
  })
})

// Of these there are many, and each is a class: they are made once, for all routes.
const inQuery = start(Described.repeatable)
const inForm = start(Described.optional)

/** Of the routes that start a run, in the query. */
export const Start = Schema.Struct(inQuery)
/** The same, in a form. */
export const StartForm = Schema.Struct(inForm).pipe(HttpApiSchema.withEncoding({ kind: "UrlParams" }))

/** Of the routes that start a run of some nodes, in the query. */
export const StartNodes = Schema.Struct({ ...nodes(Described.repeatable), ...inQuery })
/** The same, in a form. */
export const StartNodesForm = Schema.Struct({ ...nodes(Described.optional), ...inForm }).pipe(
  HttpApiSchema.withEncoding({ kind: "UrlParams" })
)

/** Of the route that starts the rest of a run, in the query. */
export const Retry = Schema.Struct({ ...only(Described.repeatable), ...inQuery })
/** The same, in a form. */
export const RetryForm = Schema.Struct({ ...only(Described.optional), ...inForm }).pipe(
  HttpApiSchema.withEncoding({ kind: "UrlParams" })
)

/** What `Operation` says of the lists among them. */
export const lists = Operation.describedBy(
  ...["nodes", "only", "classes", "conditions"].map((name) =>
    Operation.parameter(name, Described.commaSeparated)
  )
)

/** Of the list of runs. */
export const List = Schema.Struct({
  limit: Described.repeatable("how many runs a page has", Described.limit),
  before: Described.repeatable("the `next` of the page before", { pattern: RunId.pattern.source }),
  node: Described.repeatable("the id of a node that the runs were for", Described.nodeId),
  actor: Described.repeatable("who asked for them, in their own words", words),
  since: Described.repeatable("those that started then or later", Described.date),
  state: Described.repeatable("those that go on, or those that do not", { enum: ["running", "ended"] })
})

/** Of a run's output. */
export const Output = Schema.Struct({
  format: Described.repeatable("how the run is answered; default: what `Accept` names, else `text`", {
    enum: ["text", "ndjson", "raw", "sse"]
  }),
  node: Described.repeatable("the ids of nodes: only what is said of these", nodeIds),
  stream: Described.repeatable("only lines of this stream", { enum: ["stdout", "stderr"] }),
  state: Described.repeatable(
    "only nodes that ended so, each in one piece; or, with `running` and `waiting`, only those that are so now",
    { enum: NodeChoice.literals }
  ),
  from: Described.repeatable("how many events, or lines of text and raw, the caller has, pings not counted", {
    type: "integer",
    minimum: 0,
    default: 0
  })
})

/** What `Operation` says of the list among those. */
export const outputLists = Operation.parameter("node", Described.commaSeparated)

/** The id of a run. */
export const runId = Described.segment("the run's id", {
  pattern: RunId.pattern.source,
  examples: ["019b8d1c-2600-7a64-9e7c-3f1f0c5f2b11"]
})
