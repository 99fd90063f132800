/** What a request about the shared folder asks, decoded. */
import { Either, Option } from "effect"
import * as ContentHash from "../disk/ContentHash.ts"
import { InvalidRequest } from "../RelayError.ts"
import { parameter } from "../shared-files/SharedFileRequest.ts"

const decodeAlgorithm = (text: string): Either.Either<ContentHash.HashAlgorithm, InvalidRequest> =>
  text === "sha256" || text === "sha512"
    ? Either.right(text)
    : Either.left(
        new InvalidRequest({ parameter: "hash_type", message: "hash_type: expected sha256 or sha512" })
      )

/** The hash of what the caller has. None where it names none, and where that is no hash of this type: no file has it. */
export const decodeKnown = (
  search: URLSearchParams
): Either.Either<Option.Option<ContentHash.ContentHash>, InvalidRequest> =>
  Either.gen(function* () {
    const type = yield* parameter(search, "hash_type")
    const algorithm = yield* decodeAlgorithm(Option.getOrElse(type, () => "sha256"))
    const hash = Option.flatMap(yield* parameter(search, "hash"), ContentHash.parse)
    return Option.filter(hash, (known) => known.algorithm === algorithm)
  })
