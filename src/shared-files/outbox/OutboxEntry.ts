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
}).annotations({
  identifier: "OutboxEntry",
  examples: [
    {
      id: "019b8d1c26000000-2cf24dba5fb0a30e26e83b2ac5b9e29e",
      target: "72d6bd8b-b1d6-4b62-8e2e-bbc0b2d0b4f9",
      source: "b73ea451-c42a-420d-a540-47b445e58313",
      file_id: "motd",
      state: "waiting",
      accepted: "2026-01-05T09:00:00.000Z",
      age: 12,
      size: 5,
      attempts: 1,
      last_error: "the policy server does not answer",
      next_try: "2026-01-05T09:00:14.000Z"
    }
  ]
})
/** The same, as a type. */
export type OutboxEntry = typeof OutboxEntry.Type

/** A part of the list, newest first. */
export const OutboxPage = Schema.Struct({
  entries: Schema.Array(OutboxEntry),
  /** For `before`; null: there are no more. */
  next: Schema.NullOr(Schema.String)
}).annotations({ identifier: "OutboxPage" })
/** The same, as a type. */
export type OutboxPage = typeof OutboxPage.Type
