/** What can be asked about remote runs. */
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { AskedBy, HasEffect } from "../access/RouteAccess.ts"
import { NodeId } from "../NodeId.ts"
import { RequestTimeout, StorageError, StorageFull, TooBusy, UnknownTarget } from "../RelayError.ts"
import { IdempotencyConflict, RunNotFound } from "./RemoteRunError.ts"
import { RunPreview } from "./RunPreview.ts"
import { RunDetail, RunPage } from "./RunRecord.ts"

const description = (text: string) => ({ description: text })

/** Taken as it comes: the handlers decode query and form together, since the body wins and names have v1 aliases. */
const parameter = (text: string) =>
  Schema.optional(Schema.Union(Schema.String, Schema.Array(Schema.String)).annotations(description(text)))

const StartParameters = Schema.Struct({
  output: parameter("keep or discard (default)"),
  async: parameter("yes: lines as they are printed; no (default): node by node"),
  classes: parameter("comma list of classes, each [a-zA-Z0-9][a-zA-Z0-9_]*"),
  format: parameter("text (default), ndjson, or raw (default in the v1 dialect)"),
  keep_output: parameter("v1 name of output: true or false"),
  asynchronous: parameter("v1 name of async: true or false"),
  conditions: parameter("v1 name of classes"),
  batch: parameter("so many nodes at a time: a number, or a part of them such as 10%"),
  batch_wait: parameter("so long after the last end of a batch the next one starts, such as 5min"),
  canary: parameter("the size of the first batch; the rest starts only when all of it ended with code 0"),
  max_failures: parameter(
    "when more nodes than these, or than such a part of them, failed, no other is started"
  ),
  splay: parameter("each start is put off by a random part of this duration"),
  preview: parameter("yes: nothing is run; the answer is what would be"),
  actor: parameter("who asks, at most 200 printable characters: kept with the run, and in the log"),
  reason: parameter("why, likewise")
})

const NodesParameters = Schema.Struct({
  nodes: parameter("comma list of node ids; may repeat; required, here or in the form"),
  ...StartParameters.fields
})

const ListParameters = Schema.Struct({
  limit: parameter("how many, 1 to 1000; default 50"),
  before: parameter("the `next` of the page before"),
  node: parameter("the id of a node that the runs were for"),
  actor: parameter("who asked for them, in their own words"),
  since: parameter("an RFC 3339 date: those that started then or later"),
  state: parameter("running or ended")
})

const OutputParameters = Schema.Struct({
  format: parameter("text (default), ndjson, raw or sse"),
  node: parameter("comma list of node ids: only what is said of these"),
  stream: parameter("stdout or stderr: only lines of this stream"),
  state: parameter(
    "ok, failed, skipped, unreported or ended: only nodes that ended so, each in one piece; running or waiting: only those that are so now"
  ),
  from: parameter("how many events the caller has (objects, or lines of text and raw), pings not counted")
})

/** A run's output in the format asked for; a stream. */
const RunOutput = HttpApiSchema.Text({ contentType: "text/plain" }).annotations(
  description(
    "text: lines `<node>:<line>` between JSON events; ndjson: one JSON object a line; raw: the agents' stdout"
  )
)

const OnePath = Schema.Struct({ uuid: NodeId })
const RunPath = Schema.Struct({ id: Schema.String })

const onceByKey =
  "Header Idempotency-Key, at most 200 printable characters: of requests with the same key and the same order one starts " +
  "a run, for 24 h and over restarts; the others are answered with that run."

const starts = <const Name extends string>(name: Name, method: "GET" | "POST", path: `/${string}`) =>
  HttpApiEndpoint.make(method)(name, path)
    // Before the text, which anything is.
    .addSuccess(RunPreview)
    .addSuccess(RunOutput)
    .addSuccess(RunOutput, { status: 202 })
    .addError(UnknownTarget)
    .addError(RequestTimeout)
    .addError(TooBusy)
    .addError(StorageError)
    .annotate(OpenApi.Description, onceByKey)
    .addError(IdempotencyConflict)
    .addError(RunNotFound)
    .addError(StorageFull)
    .annotate(HasEffect, true)

const startsOne = <const Name extends string>(name: Name, method: "GET" | "POST", path: `/${string}`) =>
  starts(name, method, path)
    .setPath(OnePath)
    .setUrlParams(StartParameters)
    .annotate(OpenApi.Summary, "Run the agent of one node")

/** The routes of remote runs, in this form and in the older one. */
export class RemoteRunApi extends HttpApiGroup.make("remoteRun")
  .add(startsOne("getNode", "GET", "/remote-run/node/:uuid"))
  .add(startsOne("postNode", "POST", "/remote-run/node/:uuid"))
  .add(startsOne("postNodesNode", "POST", "/remote-run/nodes/:uuid"))
  .add(
    starts("getNodes", "GET", "/remote-run/nodes")
      .setUrlParams(NodesParameters)
      .annotate(OpenApi.Summary, "Run the agents of some nodes")
  )
  .add(
    starts("postNodes", "POST", "/remote-run/nodes")
      .setUrlParams(NodesParameters)
      .annotate(OpenApi.Summary, "Run the agents of some nodes")
  )
  .add(
    starts("getAll", "GET", "/remote-run/all")
      .setUrlParams(StartParameters)
      .annotate(OpenApi.Summary, "Run the agents of every node of the list")
  )
  .add(
    starts("postAll", "POST", "/remote-run/all")
      .setUrlParams(StartParameters)
      .annotate(OpenApi.Summary, "Run the agents of every node of the list")
  )
  .add(
    HttpApiEndpoint.get("runs", "/remote-run/runs")
      .setUrlParams(ListParameters)
      .addSuccess(RunPage)
      .addError(StorageError)
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "Recent runs, newest first")
  )
  .add(
    HttpApiEndpoint.get("run", "/remote-run/runs/:id")
      .setPath(RunPath)
      .addSuccess(RunDetail)
      .addError(RunNotFound)
      .addError(StorageError)
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "One run, with every node's state")
  )
  .add(
    HttpApiEndpoint.get("runOutput", "/remote-run/runs/:id/output")
      .setPath(RunPath)
      .setUrlParams(OutputParameters)
      .addSuccess(RunOutput)
      .addSuccess(HttpApiSchema.Empty(204))
      .addError(RunNotFound)
      .addError(StorageError)
      .annotate(HasEffect, false)
      .annotate(
        OpenApi.Summary,
        "A run's output from its start, then as it goes on (also as server-sent events)"
      )
  )
  .add(
    HttpApiEndpoint.del("cancelRun", "/remote-run/runs/:id")
      .setPath(RunPath)
      .addSuccess(RunDetail)
      .addSuccess(RunDetail, { status: 202 })
      .addError(RunNotFound)
      .addError(StorageError)
      .annotate(HasEffect, true)
      .annotate(OpenApi.Summary, "Cancel a run")
  )
  .annotate(AskedBy, "policyServer")
  .annotate(OpenApi.Title, "Remote run")
  .annotate(OpenApi.Description, "Run the agents of nodes now, and follow, replay or cancel such runs.") {}
