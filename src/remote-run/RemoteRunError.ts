/** Errors of the remote-run routes alone. */
import { HttpApiSchema } from "@effect/platform"
import { Schema } from "effect"

/** 404: no run of this id is going on or in the history. */
export class RunNotFound extends Schema.TaggedError<RunNotFound>()(
  "RunNotFound",
  { message: Schema.String, run: Schema.String },
  HttpApiSchema.annotations({ status: 404 })
) {}
