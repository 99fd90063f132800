/** Whether a file is what its source signed: its content and, where the source signed that too, for whom and for how long. */
import type { KeyObject } from "node:crypto"
import { Either, Option } from "effect"
import * as ContentHash from "../../disk/ContentHash.ts"
import type { SharedFileName } from "../file/FileId.ts"
import { BadSignature } from "../file/SharedFileError.ts"
import * as Signature from "../file/Signature.ts"
import * as SignedScope from "../file/SignedScope.ts"
import type { Claim } from "../SharedFileRequest.ts"

const stale = (message: string) => Either.left(new BadSignature({ reason: "stale", message }))

/**
 * Whether a signed scope can count now, by what it says itself.
 *
 * @param now milliseconds since 1970
 */
export const checkDate = ({ scope }: Claim, now: number): Either.Either<void, BadSignature> => {
  if (Option.isNone(scope)) return Either.void
  const isAhead = Option.exists(
    Option.flatMap(scope, ({ date }) => SignedScope.parseDate(date)),
    (date) => date > now + SignedScope.maxAhead
  )
  if (isAhead) return stale("the signed date is in the future")
  return Option.exists(Option.flatMap(scope, SignedScope.end), (end) => end <= now)
    ? stale("the signed ttl, counted from the signed date, is over")
    : Either.void
}

const unsigned = (reason: "hash-mismatch" | "signature-mismatch", message: string) =>
  Either.left(new BadSignature({ reason, message }))

/**
 * Checks what a source claims of a content. Fails with `BadSignature`; else gives the one of `keys` that signed it.
 *
 * @param now milliseconds since 1970
 */
export const verify = (
  name: SharedFileName,
  claim: Claim,
  keys: ReadonlyArray<KeyObject>,
  content: { readonly digest: Uint8Array; readonly hash: ContentHash.ContentHash },
  now: number
): Either.Either<KeyObject, BadSignature> => {
  const { algorithm } = claim
  if (Option.exists(claim.hash, (announced) => !ContentHash.equals(announced, content.hash)))
    return unsigned("hash-mismatch", "the content's hash is not the one that was announced")
  const key = keys.find((one) => Signature.verifies(one, algorithm, content.digest, claim.signature))
  if (key === undefined)
    return unsigned("signature-mismatch", "the signature is not of this content by the source's key")
  if (Option.isNone(claim.scope)) return Either.right(key)
  const scope = claim.scope.value
  const text = SignedScope.signedText(name, scope, content.hash)
  if (!Signature.verifiesText(key, algorithm, text, scope.requestSignature))
    return unsigned(
      "signature-mismatch",
      "the request-signature is not of this file, name, target, ttl and date by the source's key"
    )
  return Either.map(checkDate(claim, now), () => key)
}
