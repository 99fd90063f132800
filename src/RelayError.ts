/** Errors that any route can end with. Each is JSON outside (`{"_tag", "message", …}`) with the status in its annotation. */
import { HttpApiSchema } from "@effect/platform"
import { Schema } from "effect"

/** 400: a parameter, header or body is not of the form that the contract asks for. */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>()(
  "InvalidRequest",
  {
    /** Names the parameter and says what was expected. */
    message: Schema.String,
    parameter: Schema.optional(Schema.String)
  },
  HttpApiSchema.annotations({
    status: 400,
    description: "a parameter, header or body is not what was expected; the message names it."
  })
) {}

/** 403: the caller's address or certificate may not use this route. The log names the address and the key to set. */
export class AccessDenied extends Schema.TaggedError<AccessDenied>()(
  "AccessDenied",
  { message: Schema.String },
  HttpApiSchema.annotations({
    status: 403,
    description: "the caller's address or certificate may not use this route, or another site's page asked."
  })
) {}

/** 404: no node of this id below this relay (or no route to it). */
export class UnknownTarget extends Schema.TaggedError<UnknownTarget>()(
  "UnknownTarget",
  { message: Schema.String, target: Schema.String },
  HttpApiSchema.annotations({
    status: 404,
    description: "no node of this id is below this relay, or no way leads to it."
  })
) {}

/** 404: no such route. */
export class NotFound extends Schema.TaggedError<NotFound>()(
  "NotFound",
  { message: Schema.String },
  HttpApiSchema.annotations({
    status: 404,
    description: "there is no such thing, or no such route."
  })
) {}

/** 405: the route exists, for other methods. */
export class MethodNotAllowed extends Schema.TaggedError<MethodNotAllowed>()(
  "MethodNotAllowed",
  { message: Schema.String, allowed: Schema.Array(Schema.String) },
  HttpApiSchema.annotations({
    status: 405,
    description: "the route is there, for other methods."
  })
) {}

/** 408: what the request still has to bring comes too slowly, or not at all. Worth another try. */
export class RequestTimeout extends Schema.TaggedError<RequestTimeout>()(
  "RequestTimeout",
  { message: Schema.String },
  HttpApiSchema.annotations({
    status: 408,
    description: "what the request still has to bring comes too slowly, or not at all. Worth another try."
  })
) {}

/** 413: the body is larger than the configuration (or, for a form, 1 MiB) allows. */
export class PayloadTooLarge extends Schema.TaggedError<PayloadTooLarge>()(
  "PayloadTooLarge",
  { message: Schema.String, limit: Schema.Number },
  HttpApiSchema.annotations({
    status: 413,
    description: "the body is larger than the configuration (or, for a form, 1 MiB) allows."
  })
) {}

/** 502: the policy server or sub-relay did not do it this time; worth another try. */
export class UpstreamFatal extends Schema.TaggedError<UpstreamFatal>()(
  "UpstreamFatal",
  { message: Schema.String },
  HttpApiSchema.annotations({
    status: 502,
    description: "the policy server or sub-relay did not do it this time. Worth another try."
  })
) {}

/** The policy server refused this, and will refuse it again. The answer's status is the policy server's own. */
export class UpstreamRejected extends Schema.TaggedError<UpstreamRejected>()(
  "UpstreamRejected",
  {
    message: Schema.String,
    /** The policy server's: a 4xx, and none of 401, 407, 408 and 429. */
    status: Schema.Int
  },
  HttpApiSchema.annotations({
    status: 403,
    description:
      "the policy server refused this, and will refuse it again. The status is the policy server's own."
  })
) {}

/** 503 with `Retry-After`: a bound on simultaneous work is reached, or the relay does not know its nodes yet. */
export class TooBusy extends Schema.TaggedError<TooBusy>()(
  "TooBusy",
  { message: Schema.String, retryAfterSeconds: Schema.Number },
  HttpApiSchema.annotations({
    status: 503,
    description:
      "a bound on simultaneous work is reached, or the relay does not know its nodes yet. Worth another try."
  })
) {}

/**
 * 500: the disk failed, not the sender, or what a run left there is damaged. Who calls is not told of the relay's paths:
 * the log has the message.
 */
export class StorageError extends Schema.TaggedError<StorageError>()(
  "StorageError",
  {
    message: Schema.String,
    /** The request's id, under which the log has it. */
    request: Schema.optional(Schema.String),
    /** The run whose file in the history is damaged. Absent: it is not that. */
    run: Schema.optional(Schema.String)
  },
  HttpApiSchema.annotations({
    status: 500,
    description:
      "the relay's disk failed, not the sender; with `run`, that run's file in the history is damaged. The log has it, " +
      "under the request's id."
  })
) {}

/** 507: no room; nothing was kept. */
export class StorageFull extends Schema.TaggedError<StorageFull>()(
  "StorageFull",
  { message: Schema.String },
  HttpApiSchema.annotations({
    status: 507,
    description: "no room; nothing was kept."
  })
) {}

/** 500: what should not happen. The log has it, under the request's id. */
export class InternalError extends Schema.TaggedError<InternalError>()(
  "InternalError",
  { message: Schema.String, request: Schema.String },
  HttpApiSchema.annotations({
    status: 500,
    description: "what should not happen. The log has it, under the request's id."
  })
) {}
