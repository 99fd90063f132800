/** What can be asked about the relay itself. */
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { AskedBy, HasEffect } from "../access/RouteAccess.ts"
import { NotFound, StorageError } from "../RelayError.ts"
import { OutboxPage } from "../shared-files/outbox/OutboxEntry.ts"
import * as PrometheusText from "./PrometheusText.ts"

/** How every answer of this group is wrapped; its keys are in this order, since callers compare it as a string. */
const envelope = <A, I, Action extends string>(action: Action, data: Schema.Schema<A, I>) =>
  Schema.Struct({ data, result: Schema.Literal("success"), action: Schema.Literal(action) })

/** Whether a part of the relay is well; `details` says what is not, or what is worth knowing. */
export const Health = Schema.Struct({
  status: Schema.Literal("success", "error"),
  details: Schema.optional(Schema.String)
})
export type Health = typeof Health.Type

/** The version: `X.Y`, and `X.Y.Z`. */
export const Info = Schema.Struct({ "major-version": Schema.String, "full-version": Schema.String })

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
})
export type Status = typeof Status.Type

const ListParameters = Schema.Struct({
  limit: Schema.optional(Schema.String.annotations({ description: "how many, 1 to 1000; default 50" })),
  before: Schema.optional(Schema.String.annotations({ description: "the `next` of the page before" }))
})

/** 500: something did not load; what was in force before stays so. */
export const ReloadFailed = Schema.Struct({
  result: Schema.Literal("error"),
  action: Schema.Literal("reloadConfiguration"),
  errorDetails: Schema.String
})

/** The routes about the relay itself. */
export class SystemApi extends HttpApiGroup.make("system")
  .add(
    HttpApiEndpoint.get("info", "/system/info")
      .addSuccess(envelope("getSystemInfo", Info))
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "The version of this relay")
  )
  .add(
    HttpApiEndpoint.get("status", "/system/status")
      .addSuccess(envelope("getStatus", Status))
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "The health of this relay's parts")
  )
  .add(
    HttpApiEndpoint.post("reload", "/system/reload")
      .addSuccess(
        Schema.Struct({ result: Schema.Literal("success"), action: Schema.Literal("reloadConfiguration") })
      )
      .addError(ReloadFailed, { status: 500 })
      .annotate(HasEffect, true)
      .annotate(OpenApi.Summary, "Take the nodes list, certificates and log level from the disk again")
  )
  .add(
    HttpApiEndpoint.get("outbox", "/system/outbox")
      .setUrlParams(ListParameters)
      .addSuccess(envelope("getOutbox", OutboxPage))
      .addError(StorageError)
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "Files that wait for the policy server, or were refused by it; newest first")
  )
  .add(
    HttpApiEndpoint.post("retryOutbox", "/system/outbox/retry")
      .addSuccess(envelope("retryOutbox", Schema.Struct({ entries: count })))
      .addError(StorageError)
      .annotate(HasEffect, true)
      .annotate(OpenApi.Summary, "Try all of them now, what was refused too")
  )
  .add(
    HttpApiEndpoint.del("deleteOutboxEntry", "/system/outbox/:id")
      .setPath(Schema.Struct({ id: Schema.String }))
      .addSuccess(envelope("deleteOutboxEntry", Schema.Struct({ id: Schema.String })))
      .addError(NotFound)
      .addError(StorageError)
      .annotate(HasEffect, true)
      .annotate(OpenApi.Summary, "Give up one of them")
  )
  .add(
    HttpApiEndpoint.get("metrics", "/metrics")
      .addSuccess(HttpApiSchema.Text({ contentType: PrometheusText.contentType }))
      .annotate(HasEffect, false)
      .annotate(OpenApi.Summary, "The figures of this relay, in Prometheus' text format")
      .annotate(OpenApi.Override, { servers: [{ url: "/", description: "the root of the server" }] })
  )
  .annotate(AskedBy, "admin")
  .annotate(OpenApi.Title, "System") {}
