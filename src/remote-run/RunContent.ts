/** How the API's description has the answers that are a run's stream. */
import type { Content } from "../http/Operation.ts"

const run =
  '{"event":"run","id":"019b8d1c-2600-7a64-9e7c-3f1f0c5f2b11","nodes":["edge"],"unknown":[],"classes":[]}'
const start = '{"event":"start","node":"edge","hostname":"edge.example.com"}'
const output = '{"event":"output","node":"edge","stream":"stdout","line":"hello"}'
const end = '{"event":"end","node":"edge","code":0,"duration":8.893,"stderr":""}'
const done = '{"event":"done","ok":1,"failed":0,"duration":8.901}'

const lines = (...all: ReadonlyArray<string>): string => all.map((line) => `${line}\n`).join("")

/** Each of its items is an event. JSON Schema has `contentSchema` for what is in a text. */
const events = (type: string, description: string) => ({
  type: "string",
  description,
  contentMediaType: type,
  contentSchema: { $ref: "#/components/schemas/RunStreamEvent" }
})

const ndjson = {
  schema: events("application/x-ndjson", "`format=ndjson`: one JSON object a line, each an event."),
  examples: { ndjson: { summary: "A run of one node", value: lines(run, start, output, end, done) } }
}

const text = {
  schema: {
    type: "string",
    description:
      "`format=text`: output lines are `<node>:<line>`, between the JSON lines of the other events, which begin with `{`. " +
      "`format=raw`: the bytes of the agents' stdout, whole lines of one node at a time, and nothing else."
  },
  examples: {
    text: { summary: "format=text", value: lines(run, start, "edge:hello", end, done) },
    raw: { summary: "format=raw", value: lines("hello") }
  }
}

/** A run as it goes on: `text/plain` or ndjson, as `format` and `Accept` say. */
const followed: Content = { "text/plain": text, "application/x-ndjson": ndjson }

/** The answer to who starts a run: the run as it goes on, or, with `preview`, what it would be. */
export const started: Content = {
  ...followed,
  "application/json": { schema: { $ref: "#/components/schemas/RunPreview" } }
}

/** The answer to a retry: the same, or no nodes where all of them are ok. */
export const retried: Content = {
  ...followed,
  "application/json": {
    schema: {
      anyOf: [{ $ref: "#/components/schemas/RunPreview" }, { $ref: "#/components/schemas/NothingToRetry" }]
    }
  }
}

/** The answer to who starts a run and does not wait: its first event. */
export const begun: Content = {
  "text/plain": {
    schema: { ...events("application/json", "The run's first event.") },
    examples: { begun: { value: lines(run) } }
  },
  "application/x-ndjson": {
    schema: { ...events("application/x-ndjson", "The run's first event.") },
    examples: { begun: { value: lines(run) } }
  }
}

/** A run's output, from its start or from anywhere. */
export const replayed: Content = {
  ...followed,
  "text/event-stream": {
    schema: {
      type: "object",
      description: "`format=sse`: each of the server-sent events.",
      required: ["data"],
      properties: {
        id: { type: "string", pattern: "^[0-9]+$", description: "For `Last-Event-ID`; a ping has none." },
        event: { type: "string", enum: ["message"], description: "What there is where none is sent." },
        data: events("application/json", "An event.")
      }
    },
    examples: { sse: { summary: "An event", value: { id: "134", data: run } } }
  }
}
