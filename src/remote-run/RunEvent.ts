/** What happens in a run, as the JSON objects that a caller sees. Output lines are not among them: see `RunFormat`. */
import { Either, Schema } from "effect"

const bounded = (expected: string, holds: (text: string) => boolean) =>
  Schema.String.pipe(Schema.filter(holds, { message: () => `expected ${expected}` }))

const number = (expected: string, least: number, most: number) =>
  Schema.Number.pipe(
    Schema.filter((value) => value >= least && value <= most, {
      message: () => `expected ${expected}`,
      jsonSchema: { minimum: least, maximum: most }
    })
  )

/** Longer messages are cut. Characters. */
const maxMessage = 1000

/** A message of bounded length, whoever wrote it. */
export const shorten = (message: string): string => message.slice(0, maxMessage)

const Message = Schema.transform(Schema.String, Schema.String, {
  strict: true,
  decode: shorten,
  encode: (message) => message
})

/** Why a node has no return code, as a typed error: `AgentError` or `UpstreamFatal`, `UnknownTarget` from below. */
export const EndError = Schema.Struct({
  _tag: bounded("an error's name", (text) => /^[A-Za-z][A-Za-z0-9]{0,63}$/.test(text)),
  message: Message
})
export type EndError = typeof EndError.Type

/** Finite: JSON has no infinity, and would keep `null` in its place. */
const Seconds = number("seconds, from 0 to 1e9", 0, 1e9)

/** The first event: which nodes the run is for, and which ids of the request name no node. */
export const RunStarted = Schema.Struct({
  event: Schema.Literal("run"),
  id: Schema.String,
  nodes: Schema.Array(Schema.String),
  unknown: Schema.Array(Schema.String),
  classes: Schema.Array(Schema.String)
})
export type RunStarted = typeof RunStarted.Type

/** The agent of a node is being started. */
export const NodeStarted = Schema.Struct({
  event: Schema.Literal("start"),
  node: Schema.String,
  hostname: bounded("at most 253 characters", (text) => text.length <= 253)
})
export type NodeStarted = typeof NodeStarted.Type

/**
 * How a node's part of the run ended; `code` is null when there is none, and then one of the flags says why. A sub-relay's
 * word is kept like this relay's own, so the bounds hold for both.
 */
export const NodeOutcome = Schema.Struct({
  code: Schema.NullOr(Schema.Int.pipe(Schema.between(-(2 ** 31), 2 ** 32 - 1))),
  signal: Schema.optional(bounded("a signal's name", (text) => /^SIG[A-Z0-9+-]{1,20}$/.test(text))),
  timeout: Schema.optional(Schema.Literal(true)),
  cancelled: Schema.optional(Schema.Literal(true)),
  unreported: Schema.optional(Schema.Literal(true)),
  /** It was not started, since too many others had failed. */
  skipped: Schema.optional(Schema.Literal(true)),
  /** The relay crashed before it ended; `error` says so too. */
  interrupted: Schema.optional(Schema.Literal(true)),
  error: Schema.optional(EndError),
  /** Seconds. */
  duration: Seconds,
  /** The last 64 KiB. */
  stderr: Schema.String,
  truncated: Schema.optional(Schema.Literal(true)),
  /** Bytes of output that were read and not kept. */
  dropped: Schema.optional(Schema.NonNegativeInt)
})
export type NodeOutcome = typeof NodeOutcome.Type

/** Reads the JSON of a node's end, which may say more than this. */
export const decodeOutcome = Schema.decodeUnknownEither(Schema.parseJson(NodeOutcome))

/** Why a node ended: an exit, or what took its place. A sub-relay knows its duration and the end of stderr better. */
export type NodeEnding = Pick<NodeOutcome, "code"> & Partial<Omit<NodeOutcome, "code">>

/** The one end of a node. */
export const NodeEnded = Schema.Struct({
  event: Schema.Literal("end"),
  node: Schema.String,
  ...NodeOutcome.fields
})
export type NodeEnded = typeof NodeEnded.Type

/** The last event. `interrupted`: the relay crashed during the run and closed its record at the next start. */
export const RunDone = Schema.Struct({
  event: Schema.Literal("done"),
  ok: Schema.Int,
  failed: Schema.Int,
  /** Nodes that were not started, since too many others had failed. Absent: none. */
  skipped: Schema.optional(Schema.Int),
  /** Seconds. */
  duration: Seconds,
  interrupted: Schema.optional(Schema.Literal(true))
})
export type RunDone = typeof RunDone.Type

/** Any event of a run. `run` is first, `done` last, and every node has one `end`. */
export const RunEvent = Schema.Union(RunStarted, NodeStarted, NodeEnded, RunDone)
export type RunEvent = typeof RunEvent.Type

/** An event of which the history says that it happened, of which kind it is and of which node, and no more. */
export interface UnreadableEvent {
  readonly event: "unreadable"
  readonly of: RunEvent["event"]
  /** Empty where the event is about no node. */
  readonly node: string
}

/** What a node's end counts as. `unreported`: an older sub-relay says nothing of its nodes. */
export type Verdict = "ok" | "failed" | "skipped" | "unreported"

/** What the end of a node counts as. */
export const verdict = (outcome: Pick<NodeOutcome, "code" | "skipped" | "unreported">): Verdict => {
  if (outcome.code === 0) return "ok"
  if (outcome.skipped === true) return "skipped"
  return outcome.unreported === true ? "unreported" : "failed"
}

/** The same, of an end's JSON. One that can't be read is none that went well. */
export const verdictOf = (json: string): Verdict =>
  Either.match(decodeOutcome(json), { onLeft: () => "failed" as const, onRight: verdict })

/** How many nodes of a run have ended in each way that is counted. */
export type Counts = Pick<RunDone, "ok" | "failed" | "skipped">

/** The counts with one node more. */
export const counted = (counts: Counts, result: Verdict): Counts => {
  if (result === "unreported") return counts
  return { ...counts, [result]: (counts[result] ?? 0) + 1 }
}

/** Milliseconds as the seconds of an event, to the millisecond. */
export const seconds = (millis: number): number => Math.max(0, Math.round(millis)) / 1000
