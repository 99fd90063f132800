/** Whether a file may take the place of one that is there, and what stays of that one. */
import { Either, Option } from "effect"
import * as ContentHash from "../../disk/ContentHash.ts"
import { dateOf, type Metadata } from "./Metadata.ts"
import { BadSignature } from "./SharedFileError.ts"

const stale = (message: string) => Either.left(new BadSignature({ message, reason: "stale" }))

/** Whether the one expires earlier than the other; without an expiry a file never expires. */
const endsEarlier = (one: Metadata, other: Metadata): boolean =>
  Option.exists(one.expires, (time) =>
    Option.match(other.expires, { onNone: () => true, onSome: (end) => time < end })
  )

const isSame = (one: Metadata, other: Metadata): boolean =>
  ContentHash.equals(one.hash, other.hash) &&
  Option.exists(Option.all([dateOf(one), dateOf(other)]), ([first, second]) => first === second)

/**
 * The metadata to store for a file that comes, where another of its name is stored. A file with a signed scope is only
 * replaced by one with a signed scope that is no older. Whoever has a copy can send the same file again: that must not
 * make it expire sooner, so that the later expiry is kept.
 */
export const succeed = (stored: Metadata, next: Metadata): Either.Either<Metadata, BadSignature> => {
  if (Option.isNone(stored.scope)) return Either.right(next)
  if (Option.isNone(next.scope))
    return stale("the stored file was sent with request-signature; so must be what replaces it")
  const isOlder = Option.exists(Option.all([dateOf(next), dateOf(stored)]), ([one, other]) => one < other)
  if (isOlder) return stale("the stored file was signed later")
  // Its content is written again all the same: what is on the disk may have been spoilt.
  return Either.right(
    isSame(stored, next) && endsEarlier(next, stored) ? { ...stored, size: next.size } : next
  )
}
