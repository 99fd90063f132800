/** What a request about the shared folder asks, decoded. */
import { Either, Option } from "effect"
import * as ContentHash from "../disk/ContentHash.ts"
import * as Query from "../http/Query.ts"
import type { InvalidRequest } from "../RelayError.ts"

const decodeAlgorithm = (text: string): Either.Either<ContentHash.HashAlgorithm, InvalidRequest> =>
  text === "sha256" || text === "sha512"
    ? Either.right(text)
    : Either.left(Query.invalid("hash_type", "sha256 or sha512"))

const noHash = (algorithm: ContentHash.HashAlgorithm) =>
  Query.invalid("hash", `${algorithm === "sha256" ? 64 : 128} hex digits, a hash of hash_type ${algorithm}`)

/** The hash of what the caller has, which is of the type that it names; none where it names none. */
export const decodeKnown = (
  search: URLSearchParams
): Either.Either<Option.Option<ContentHash.ContentHash>, InvalidRequest> =>
  Either.gen(function* () {
    const type = yield* Query.parameter(search, "hash_type")
    const algorithm = yield* decodeAlgorithm(Option.getOrElse(type, () => "sha256"))
    const text = yield* Query.parameter(search, "hash")
    const hash = Option.filter(
      Option.flatMap(text, ContentHash.parse),
      (known) => known.algorithm === algorithm
    )
    return Option.isSome(text) && Option.isNone(hash) ? yield* Either.left(noHash(algorithm)) : hash
  })
