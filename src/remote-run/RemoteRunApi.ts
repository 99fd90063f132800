/** What can be asked about remote runs. */
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { AskedBy, HasEffect } from "../access/RouteAccess.ts"
import * as Operation from "../http/Operation.ts"
import { NodeId } from "../NodeId.ts"
import {
  InvalidRequest,
  NotFound,
  PayloadTooLarge,
  RequestTimeout,
  StorageError,
  StorageFull,
  TooBusy,
  UnknownTarget
} from "../RelayError.ts"
import { IdempotencyConflict, RunGoesOn, RunNotFound } from "./RemoteRunError.ts"
import * as RunContent from "./RunContent.ts"
import { RunPreview } from "./RunPreview.ts"
import * as RunQuery from "./RunQuery.ts"
import { RunDetail, RunPage } from "./RunRecord.ts"

/** A run's output in the format asked for; a stream. */
const RunOutput = HttpApiSchema.Text({ contentType: "text/plain" })

const OnePath = Schema.Struct({ uuid: NodeId })
const RunPath = Schema.Struct({ id: RunQuery.runId })

const summary = {
  id: "019b8d1c-2600-7a64-9e7c-3f1f0c5f2b11",
  started: "2026-01-05T09:00:00.000Z",
  output: "keep",
  classes: ["audit"],
  nodes: 2,
  running: 0,
  ok: 1,
  failed: 1,
  by: { address: "127.0.0.1", actor: "me" }
} as const

const Page = RunPage.annotations({
  identifier: "RunPage",
  description: "A page of the list, newest first.",
  examples: [{ runs: [summary], next: null }]
})

const detail = {
  identifier: "Run",
  description: "The run, with the state of each node.",
  examples: [
    {
      ...summary,
      states: [
        { node: "edge", state: "ended", code: 0, duration: 8.893, stderr: "" },
        { node: "proxy", state: "ended", code: 1, duration: 2.1, stderr: 'error: "x"\n' }
      ]
    }
  ]
} as const
const Detail = RunDetail.annotations(detail)
const Cancelled = RunDetail.annotations({ ...HttpApiSchema.annotations({ status: 202 }), ...detail })

/** Answers that change while one reads them are for their reader alone, and for no proxy to collect. */
const streamed = (...statuses: ReadonlyArray<number>) =>
  Operation.describedBy(
    Operation.sends("Cache-Control", "Nobody keeps it.", { type: "string", enum: ["no-store"] }, ...statuses),
    Operation.sends(
      "X-Accel-Buffering",
      "No proxy collects it.",
      { type: "string", enum: ["no"] },
      ...statuses
    )
  )

const Preview = RunPreview.annotations({
  identifier: "RunPreview",
  description:
    "What a run would do: its nodes in the order in which they would start, and ids that are no node's.",
  examples: [
    {
      nodes: [{ node: "edge", hostname: "edge.example.com", via: ["relay"], batch: 1 }],
      unknown: ["ghost"]
    }
  ]
})

const Nothing = Schema.Struct({ nodes: Schema.Tuple() }).annotations({
  identifier: "NothingToRetry",
  description: "No node of the run is to be run again."
})

const started = Operation.describedBy(
  RunQuery.lists,
  Operation.reads(
    "Idempotency-Key",
    "Of requests with the same key and the same order one starts a run, for 24 h and over restarts; the others are " +
      "answered with that run, from its start.",
    { type: "string", pattern: "^[ -~]{1,200}$" }
  ),
  Operation.answers(
    200,
    "The run, as it goes on until its last node; with `preview`, what it would be.",
    RunContent.started
  ),
  Operation.answers(202, "The run goes on (`async=yes` with `output=discard`).", RunContent.begun),
  streamed(200, 202)
)

const startedByForm = Operation.describedBy(
  started,
  Operation.takesForm("The same parameters; what is here counts before what is in the query. At most 1 MiB.")
)

/** What a start may fail by. In one piece, since each of its routes has to be told. */
const StartFailed = Schema.Union(
  InvalidRequest,
  UnknownTarget,
  RequestTimeout,
  PayloadTooLarge,
  TooBusy,
  StorageError,
  IdempotencyConflict,
  RunNotFound,
  StorageFull
)

/** A form is read whatever the method is: existing callers need not know that GET has none. */
const starts = <const Name extends string>(name: Name, method: "GET" | "POST", path: `/${string}`) =>
  HttpApiEndpoint.make(method)(name, path)
    // Before the text, which anything is.
    .addSuccess(Preview)
    .addSuccess(RunOutput)
    .addSuccess(RunOutput, { status: 202 })
    .addError(StartFailed)
    .annotate(HasEffect, true)
    .annotate(OpenApi.Transform, method === "GET" ? started : startedByForm)

const one = "Run the agent of one node"
const some = "Run the agents of some nodes"
const every = "Run the agents of every node of the list"

/** The routes of remote runs, in this form and in the older one. */
export class RemoteRunApi extends HttpApiGroup.make("remoteRun")
  .add(
    starts("getNode", "GET", "/remote-run/node/:uuid")
      .setPath(OnePath)
      .setUrlParams(RunQuery.Start)
      .annotate(OpenApi.Summary, one)
  )
  .add(
    starts("postNode", "POST", "/remote-run/node/:uuid")
      .setPath(OnePath)
      .setUrlParams(RunQuery.Start)
      .setPayload(RunQuery.StartForm)
      .annotate(OpenApi.Summary, one)
  )
  .add(
    starts("postNodesNode", "POST", "/remote-run/nodes/:uuid")
      .setPath(OnePath)
      .setUrlParams(RunQuery.Start)
      .setPayload(RunQuery.StartForm)
      .annotate(OpenApi.Summary, `${one}, as existing callers do`)
  )
  .add(
    starts("getNodes", "GET", "/remote-run/nodes")
      .setUrlParams(RunQuery.StartNodes)
      .annotate(OpenApi.Summary, some)
      .annotate(
        OpenApi.Transform,
        Operation.describedBy(started, Operation.parameter("nodes", { required: true }))
      )
  )
  .add(
    starts("postNodes", "POST", "/remote-run/nodes")
      .setUrlParams(RunQuery.StartNodes)
      .setPayload(RunQuery.StartNodesForm)
      .annotate(OpenApi.Summary, some)
      .annotate(OpenApi.Description, "`nodes` is required, in the query or in the form.")
  )
  .add(
    starts("getAll", "GET", "/remote-run/all").setUrlParams(RunQuery.Start).annotate(OpenApi.Summary, every)
  )
  .add(
    starts("postAll", "POST", "/remote-run/all")
      .setUrlParams(RunQuery.Start)
      .setPayload(RunQuery.StartForm)
      .annotate(OpenApi.Summary, every)
  )
  .add(
    HttpApiEndpoint.get("runs", "/remote-run/runs")
      .setUrlParams(RunQuery.List)
      .addSuccess(Page)
      .addError(InvalidRequest)
      .addError(StorageError)
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "Recent runs, newest first")
  )
  .add(
    HttpApiEndpoint.get("run", "/remote-run/runs/:id")
      .setPath(RunPath)
      .addSuccess(Detail)
      .addError(RunNotFound)
      .addError(StorageError)
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "One run, with every node's state")
      .annotate(OpenApi.Transform, streamed(200))
  )
  .add(
    starts("retryRun", "POST", "/remote-run/runs/:id/retry")
      .setPath(RunPath)
      .setUrlParams(RunQuery.Retry)
      .setPayload(RunQuery.RetryForm)
      .addSuccess(Nothing)
      .addError(RunGoesOn)
      .annotate(OpenApi.Summary, "Run those nodes of a run again that are not ok")
      .annotate(
        OpenApi.Description,
        "A run of its own, whose `parent` is this one, with its classes and output unless others are given."
      )
      .annotate(
        OpenApi.Transform,
        Operation.describedBy(
          startedByForm,
          Operation.answers(
            200,
            "The run, as it goes on until its last node; with `preview`, what it would be; or that there is none.",
            RunContent.retried
          )
        )
      )
  )
  .add(
    HttpApiEndpoint.get("runOutput", "/remote-run/runs/:id/output")
      .setPath(RunPath)
      .setUrlParams(RunQuery.Output)
      .addSuccess(RunOutput)
      .addSuccess(HttpApiSchema.Empty(204))
      .addError(InvalidRequest)
      .addError(RunNotFound)
      .addError(StorageError)
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "A run's output from its start, then as it goes on")
      .annotate(
        OpenApi.Transform,
        Operation.describedBy(
          RunQuery.outputLists,
          Operation.reads(
            "Last-Event-ID",
            "Of server-sent events, the `id` of the last that the caller has.",
            {
              type: "integer",
              minimum: 0
            }
          ),
          Operation.answers(
            200,
            "The run, from its start or what the caller has not, and as it goes on.",
            RunContent.replayed
          ),
          Operation.answers(204, "Of server-sent events: the caller has them all, and is not to ask again."),
          streamed(200, 204)
        )
      )
  )
  .add(
    HttpApiEndpoint.del("cancelRun", "/remote-run/runs/:id")
      .setPath(RunPath)
      .addSuccess(Detail)
      .addSuccess(Cancelled)
      .addError(RunNotFound)
      .addError(StorageError)
      .annotate(HasEffect, true)
      .annotate(OpenApi.Summary, "Cancel a run")
      .annotate(
        OpenApi.Transform,
        Operation.describedBy(
          Operation.answers(200, "The run was over."),
          Operation.answers(202, "The run is being cancelled."),
          streamed(200, 202)
        )
      )
  )
  .addError(NotFound)
  .annotate(AskedBy, "policyServer")
  .annotate(OpenApi.Title, "Remote run")
  .annotate(OpenApi.Description, "Run the agents of nodes now, and follow, replay or cancel such runs.") {}
