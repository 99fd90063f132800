/** A run as the list and the single-run route show it. */
import { Schema } from "effect"
import { NodeOutcome } from "./RunEvent.ts"

/** Whether the lines that agents print are kept in the history. */
export const OutputChoice = Schema.Literal("keep", "discard")
export type OutputChoice = typeof OutputChoice.Type

/** Who asked for a run, as the request and the caller's own words say it. */
export const RunCaller = Schema.Struct({
  /** The caller's address; behind a trusted proxy, that of the proxy's caller. */
  address: Schema.String,
  /** `sha256//BASE64` of its client certificate's key. */
  key: Schema.optional(Schema.String),
  /** Who asks. At most 200 printable characters. */
  actor: Schema.optional(Schema.String),
  /** Why. At most 200 printable characters. */
  reason: Schema.optional(Schema.String)
})
export type RunCaller = typeof RunCaller.Type

/** What is known of a run when it starts; the first record of its journal. */
export const RunHead = Schema.Struct({
  id: Schema.String,
  /** RFC 3339, to the millisecond. */
  started: Schema.String,
  output: OutputChoice,
  classes: Schema.Array(Schema.String),
  /** How many nodes it is for. */
  nodes: Schema.Int,
  /** Absent where a program that embeds the relay does not say. */
  by: Schema.optional(RunCaller),
  /** The run of which this one is a retry. */
  parent: Schema.optional(Schema.String)
})
export type RunHead = typeof RunHead.Type

const { by, parent, ...headFields } = RunHead.fields

/**
 * A run in the list. `nodes` − `running` − `ok` − `failed` − `skipped` nodes wait, or are unreported by an older
 * sub-relay.
 */
export const RunSummary = Schema.Struct({
  ...headFields,
  running: Schema.Int,
  ok: Schema.Int,
  failed: Schema.Int,
  /** Nodes that were not started, since too many others had failed. Absent: none. */
  skipped: Schema.optional(Schema.Int),
  /** A crash of the relay cut the run off. */
  interrupted: Schema.optional(Schema.Literal(true)),
  by,
  parent
})
export type RunSummary = typeof RunSummary.Type

/** How far a run has come. */
export type RunTally = Pick<RunSummary, "running" | "ok" | "failed" | "skipped" | "interrupted">

/** What the list shows of a run, its keys in the order of `RunSummary`. */
export const summaryOf = ({ by, parent, ...head }: RunHead, tally: RunTally): RunSummary => ({
  ...head,
  ...tally,
  ...(by === undefined ? {} : { by }),
  ...(parent === undefined ? {} : { parent })
})

/** The list: newest first; `next` is what `before` has to be for the following page. */
export const RunPage = Schema.Struct({ runs: Schema.Array(RunSummary), next: Schema.NullOr(Schema.String) })
export type RunPage = typeof RunPage.Type

/** One node's part in a run. The fields of its outcome are there once it has ended. */
export const NodeState = Schema.extend(
  Schema.Struct({ node: Schema.String, state: Schema.Literal("waiting", "running", "ended") }),
  Schema.partial(NodeOutcome)
)
export type NodeState = typeof NodeState.Type

/** A run with the state of every node. */
export const RunDetail = Schema.Struct({ ...RunSummary.fields, states: Schema.Array(NodeState) })
export type RunDetail = typeof RunDetail.Type
