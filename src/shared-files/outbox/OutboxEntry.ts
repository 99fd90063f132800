/** Entries of the outbox as they are shown. */
import { Schema } from "effect"

/** What an entry does; `sending` is a waiting one that is on its way. */
export const OutboxState = Schema.Literal("waiting", "sending", "refused")
/** The same, as a type. */
export type OutboxState = typeof OutboxState.Type

/** One entry. */
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
/** The same, as a type. */
export type OutboxEntry = typeof OutboxEntry.Type

/** A part of the list, newest first. */
export const OutboxPage = Schema.Struct({
  entries: Schema.Array(OutboxEntry),
  /** For `before`; null: there are no more. */
  next: Schema.NullOr(Schema.String)
})
/** The same, as a type. */
export type OutboxPage = typeof OutboxPage.Type
