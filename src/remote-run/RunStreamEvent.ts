/** What a run's stream says, event by event, as a caller of ndjson or server-sent events sees it; with examples. */
import { Schema } from "effect"
import { NodeEnded, NodeStarted, RunDone, RunStarted } from "./RunEvent.ts"

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
}).annotations({
  identifier: "OutputEvent",
  description:
    "A line that an agent printed. `base64` has its bytes where they are not UTF-8; with `partial` it goes on in the next " +
    "event of its node and stream; with `unterminated` it has no newline behind it.",
  examples: [
    { event: "output", node: "edge", stream: "stdout", line: "Start execution with config [20261205]" }
  ]
})
export type OutputEvent = typeof OutputEvent.Type

/** Sent after 15 s without another event, so that proxies keep the connection open. */
export const PingEvent = Schema.Struct({ event: Schema.Literal("ping") }).annotations({
  identifier: "PingEvent",
  description: "Nothing happened for 15 s: it keeps proxies from closing the connection.",
  examples: [{ event: "ping" }]
})
export type PingEvent = typeof PingEvent.Type

const examples = {
  run: {
    event: "run",
    id: "019b8d1c-2600-7a64-9e7c-3f1f0c5f2b11",
    nodes: ["edge", "proxy"],
    unknown: ["ghost"],
    classes: ["audit"]
  },
  start: { event: "start", node: "edge", hostname: "edge.example.com" },
  end: { event: "end", node: "edge", code: 0, duration: 8.893, stderr: "" },
  timeout: { event: "end", node: "proxy", code: null, timeout: true, duration: 3600, stderr: "" },
  done: { event: "done", ok: 1, failed: 1, duration: 3600.004 }
} as const

/** Anything that a run's stream says. `run` is first, `done` last, and every node has one `end`. */
export const RunStreamEvent = Schema.Union(
  RunStarted.annotations({
    identifier: "RunEvent",
    description: "The first event: which nodes the run is for, and which ids of the request are no node's.",
    examples: [examples.run]
  }),
  NodeStarted.annotations({
    identifier: "StartEvent",
    description: "The agent of a node is being started.",
    examples: [examples.start]
  }),
  OutputEvent,
  NodeEnded.annotations({
    identifier: "EndEvent",
    description:
      "The one end of a node. `code` is null where there is none, and then one of the others says why; `duration` is " +
      "seconds; `stderr` is its last 64 KiB.",
    examples: [examples.end, examples.timeout]
  }),
  RunDone.annotations({
    identifier: "DoneEvent",
    description: "The last event. `duration` is seconds.",
    examples: [examples.done]
  }),
  PingEvent
).annotations({
  identifier: "RunStreamEvent",
  description: "What a run's stream says: `run` is first, `done` last, and every node has one `end`."
})
export type RunStreamEvent = typeof RunStreamEvent.Type
