/** Entries of the outbox as they are shown. */
import { Schema } from "effect"

/** `sending` is a waiting one that is on its way. */
export const OutboxState = Schema.Literal("waiting", "sending", "refused")
export type OutboxState = typeof OutboxState.Type

export const OutboxEntry = Schema.Struct({
  id: Schema.String,
  target: Schema.String,
  source: Schema.String,
  file_id: Schema.String,
  state: OutboxState,
  /** RFC 3339. */
  accepted: Schema.String,
  /** Seconds since then. */
  age: Schema.Number,
  /** Of the content. Bytes. */
  size: Schema.Number,
  attempts: Schema.Number,
  last_error: Schema.NullOr(Schema.String),
  /** RFC 3339; null where it is not tried again, or is being tried. */
  next_try: Schema.NullOr(Schema.String)
})
export type OutboxEntry = typeof OutboxEntry.Type

export const OutboxPage = Schema.Struct({
  entries: Schema.Array(OutboxEntry),
  /** For `before`; null: there are no more. */
  next: Schema.NullOr(Schema.String)
})
export type OutboxPage = typeof OutboxPage.Type
