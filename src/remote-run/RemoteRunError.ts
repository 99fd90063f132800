/** Errors of the remote-run routes alone. */
import { HttpApiSchema } from "@effect/platform"
import { Schema } from "effect"

/** 409: the key of this request was used for another order. */
export class IdempotencyConflict extends Schema.TaggedError<IdempotencyConflict>()(
  "IdempotencyConflict",
  {
    message: Schema.String,
    /** The run of that order. */
    run: Schema.String
  },
  HttpApiSchema.annotations({
    status: 409,
    description: "the key was used with another order."
  })
) {}

/** 409: the run goes on, so that nobody can say yet which of its nodes are to be run again. */
export class RunGoesOn extends Schema.TaggedError<RunGoesOn>()(
  "RunGoesOn",
  { message: Schema.String, run: Schema.String },
  HttpApiSchema.annotations({
    status: 409,
    description: "the run goes on: what of it is to be run again can be said when it is over."
  })
) {}

/** 404: no run of this id is going on or in the history. */
export class RunNotFound extends Schema.TaggedError<RunNotFound>()(
  "RunNotFound",
  { message: Schema.String, run: Schema.String },
  HttpApiSchema.annotations({
    status: 404,
    description: "no run of this id goes on or is in the history."
  })
) {}
