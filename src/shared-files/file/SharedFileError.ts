/** Errors of the shared-files routes alone. */
import { HttpApiSchema } from "@effect/platform"
import { Schema } from "effect"

/**
 * - `unknown-source`: the source is not below this relay, or no key of it is known.
 * - `key-mismatch`: the key that came with the file is not the one that the nodes list has.
 * - `hash-mismatch`: the content's hash is not the one that was announced.
 * - `signature-mismatch`: the signature is not of this content (or signed scope) by that key.
 * - `stale`: the signed date is in the future, or older than the stored file's; or the stored file has a signed
 *   scope, and this one has none.
 */
export const BadSignatureReason = Schema.Literal(
  "unknown-source",
  "key-mismatch",
  "hash-mismatch",
  "signature-mismatch",
  "stale"
)
/** What is wrong with a signature. */
export type BadSignatureReason = typeof BadSignatureReason.Type

/** 403: nothing proves that the source sent this file, here and now. */
export class BadSignature extends Schema.TaggedError<BadSignature>()(
  "BadSignature",
  { message: Schema.String, reason: BadSignatureReason },
  HttpApiSchema.annotations({
    status: 403,
    description: "nothing proves that the source sent this file, here and now."
  })
) {}
