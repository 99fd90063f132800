/** What can be asked about the relay itself. */
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { AskedBy, HasEffect } from "../access/RouteAccess.ts"
import * as Described from "../http/Described.ts"
import * as Operation from "../http/Operation.ts"
import { InvalidRequest, NotFound, StorageError } from "../RelayError.ts"
import * as EntryName from "../shared-files/outbox/EntryName.ts"
import { OutboxPage } from "../shared-files/outbox/OutboxEntry.ts"
import * as PrometheusText from "./PrometheusText.ts"

/** How every answer of this group is wrapped; its keys are in this order, since callers compare it as a string. */
const envelope = <A, I, Action extends string>(
  action: Action,
  data: Schema.Schema<A, I>,
  description: string
) =>
  Schema.Struct({ data, result: Schema.Literal("success"), action: Schema.Literal(action) }).annotations({
    description
  })

/** Whether a part of the relay is well; `details` says what is not, or what is worth knowing. */
export const Health = Schema.Struct({
  status: Schema.Literal("success", "error"),
  details: Schema.optional(Schema.String)
}).annotations({ identifier: "Health" })
export type Health = typeof Health.Type

/** What `system/info` answers: the version of the relay. */
export const Info = Schema.Struct({
  "major-version": Schema.String,
  "full-version": Schema.String
}).annotations({ examples: [{ "major-version": "0.1", "full-version": "0.1.0" }] })

const count = Schema.Int

/** The health of each part, with figures where they help. */
export const Status = Schema.Struct({
  configuration: Health,
  nodes: Schema.Struct({ ...Health.fields, known: count, mine: count }),
  /** Whether the policy server can be reached, as far as was seen; always on root. */
  upstream: Health,
  /** Entries, and the bytes of their content. */
  outbox: Schema.Struct({ ...Health.fields, waiting: count, refused: count, bytes: count }),
  runs: Schema.Struct({ ...Health.fields, active: count, agents: count, unkillable: count }),
  storage: Health
}).annotations({ identifier: "Status" })
export type Status = typeof Status.Type

const entryId: Described.Form = {
  pattern: EntryName.idPattern.source,
  examples: ["019b8d1c26000000-2cf24dba5fb0a30e26e83b2ac5b9e29e"]
}

const ListParameters = Schema.Struct({
  limit: Described.optional("how many entries a page has", Described.limit),
  before: Described.optional("the `next` of the page before", entryId)
})

/** 500: something did not load; what was in force before stays so. */
export const ReloadFailed = Schema.Struct({
  result: Schema.Literal("error"),
  action: Schema.Literal("reloadConfiguration"),
  errorDetails: Schema.String
}).annotations({
  identifier: "ReloadFailed",
  ...HttpApiSchema.annotations({ status: 500 }),
  description: "something did not load; what was in force before stays so."
})

/** The routes about the relay itself. */
export class SystemApi extends HttpApiGroup.make("system")
  .add(
    HttpApiEndpoint.get("info", "/system/info")
      .addSuccess(envelope("getSystemInfo", Info, "The version."))
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "The version of this relay")
  )
  .add(
    HttpApiEndpoint.get("status", "/system/status")
      .addSuccess(envelope("getStatus", Status, "The health of each part."))
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "The health of this relay's parts")
  )
  .add(
    HttpApiEndpoint.post("reload", "/system/reload")
      .addSuccess(
        Schema.Struct({
          result: Schema.Literal("success"),
          action: Schema.Literal("reloadConfiguration")
        }).annotations({ description: "All of it was loaded." })
      )
      .addError(ReloadFailed)
      .annotate(HasEffect, true)
      .annotate(OpenApi.Summary, "Take the nodes list, certificates and log level from the disk again")
  )
  .add(
    HttpApiEndpoint.get("outbox", "/system/outbox")
      .setUrlParams(ListParameters)
      .addSuccess(envelope("getOutbox", OutboxPage, "A page of entries."))
      .addError(InvalidRequest)
      .addError(StorageError)
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "Files that wait for the policy server, or were refused by it; newest first")
  )
  .add(
    HttpApiEndpoint.post("retryOutbox", "/system/outbox/retry")
      .addSuccess(envelope("retryOutbox", Schema.Struct({ entries: count }), "How many are tried."))
      .addError(StorageError)
      .annotate(HasEffect, true)
      .annotate(OpenApi.Summary, "Try all of them now, what was refused too")
  )
  .add(
    HttpApiEndpoint.del("deleteOutboxEntry", "/system/outbox/:id")
      .setPath(Schema.Struct({ id: Described.segment("the entry's id", entryId) }))
      .addSuccess(envelope("deleteOutboxEntry", Schema.Struct({ id: Schema.String }), "It is given up."))
      .addError(NotFound)
      .addError(StorageError)
      .annotate(HasEffect, true)
      .annotate(OpenApi.Summary, "Give up one of them")
  )
  .add(
    HttpApiEndpoint.get("metrics", "/metrics")
      .addSuccess(
        HttpApiSchema.Text({ contentType: PrometheusText.contentType }).annotations({
          description: "The figures."
        })
      )
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "The figures of this relay, in Prometheus' text format")
      .annotate(OpenApi.Override, { servers: [{ url: "/", description: "The root of the server." }] })
  )
  .add(
    HttpApiEndpoint.get("openapi", "/openapi.json")
      .addSuccess(
        Schema.Record({ key: Schema.String, value: Schema.Unknown }).annotations({
          jsonSchema: { type: "object" }
        })
      )
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "This description of the API, in OpenAPI 3.1")
      .annotate(OpenApi.Transform, Operation.answers(200, "The description."))
  )
  .add(
    HttpApiEndpoint.get("docs", "/docs")
      .addSuccess(HttpApiSchema.Text({ contentType: "text/html" }))
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "This description of the API, as a page to read and try")
      .annotate(OpenApi.Transform, Operation.answers(200, "The page; it loads nothing from elsewhere."))
  )
  .annotate(AskedBy, "admin")
  .annotate(OpenApi.Title, "System")
  .annotate(OpenApi.Description, "The relay's own state, configuration, outbox and metrics.") {}
