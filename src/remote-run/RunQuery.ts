/**
 * The parameters of remote runs as the API's description has them. `RunParameters` decodes those that start a run, from
 * query and form together: the form wins, and names have v1 aliases.
 */
import { HttpApiSchema } from "@effect/platform"
import { Schema } from "effect"
import * as Described from "../http/Described.ts"
import * as Operation from "../http/Operation.ts"
import * as ClassName from "./ClassName.ts"
import * as RunId from "./RunId.ts"

const nodeIds = Described.list(Described.nodeId)
const classNames = Described.list({ pattern: ClassName.pattern.source, examples: ["audit"] })
const boolean = { pattern: "^([tT][rR][uU][eE]|[fF][aA][lL][sS][eE])$", examples: ["true"] }

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
  conditions: parameter("the v1 name of `classes`, which counts where both are there", classNames)
})

const startNodes = <Field extends Schema.Struct.Field>(parameter: Parameter<Field>) => ({
  nodes: parameter("the nodes' ids; may come more than once", nodeIds),
  ...start(parameter)
})

/** Of the routes that start a run, in the query. */
export const Start = Schema.Struct(start(Described.repeatable))
/** The same, in a form. */
export const StartForm = Schema.Struct(start(Described.optional)).pipe(
  HttpApiSchema.withEncoding({ kind: "UrlParams" })
)

/** Of the routes that start a run of some nodes, in the query. */
export const StartNodes = Schema.Struct(startNodes(Described.repeatable))
/** The same, in a form. */
export const StartNodesForm = Schema.Struct(startNodes(Described.optional)).pipe(
  HttpApiSchema.withEncoding({ kind: "UrlParams" })
)

/** What `Operation` says of the lists among them. */
export const lists = Operation.describedBy(
  ...["nodes", "classes", "conditions"].map((name) => Operation.parameter(name, Described.commaSeparated))
)

/** Of the list of runs. */
export const List = Schema.Struct({
  limit: Described.repeatable("how many runs a page has", Described.limit),
  before: Described.repeatable("the `next` of the page before", { pattern: RunId.pattern.source })
})

/** Of a run's output. */
export const Output = Schema.Struct({
  format: Described.repeatable("how the run is answered; default: what `Accept` names, else `text`", {
    enum: ["text", "ndjson", "raw", "sse"]
  })
})

/** The id of a run. */
export const runId = Described.segment("the run's id", {
  pattern: RunId.pattern.source,
  examples: ["019b8d1c-2600-7a64-9e7c-3f1f0c5f2b11"]
})
