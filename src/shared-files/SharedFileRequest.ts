/** What requests about shared files say, decoded: the parameters of `POST` and `HEAD`, and the header block of `PUT`. */
import type { KeyObject } from "node:crypto"
import { Either, Option } from "effect"
import * as ContentHash from "../disk/ContentHash.ts"
import { invalid, type Parameters, parameter } from "../http/Query.ts"
import { type NodeId, form as nodeIdForm, pattern as nodeIdPattern } from "../NodeId.ts"
import type { InvalidRequest } from "../RelayError.ts"
import {
  type FileId,
  form as fileIdForm,
  pattern as fileIdPattern,
  type SharedFileName
} from "./file/FileId.ts"
import type { HeaderBlock } from "./file/HeaderBlock.ts"
import * as Signature from "./file/Signature.ts"
import * as SignedScope from "./file/SignedScope.ts"
import * as Ttl from "./file/Ttl.ts"

/** What a source says of a file it sends, and how it proves it; nothing of it has been checked. */
export interface Claim {
  readonly algorithm: ContentHash.HashAlgorithm
  readonly signature: Uint8Array
  /** None: the key is to be found among the certificates. */
  readonly key: Option.Option<KeyObject>
  readonly hash: Option.Option<ContentHash.ContentHash>
  readonly keydate: Option.Option<string>
  readonly ttl: Ttl.Ttl
  readonly scope: Option.Option<SignedScope.ClaimedScope>
}

type Decoded<A> = Either.Either<A, InvalidRequest>

// Whether a text has the form of one, which is all that there is to know: the schema asks the same pattern, in many steps.
const isNodeId = (text: string): text is NodeId => nodeIdPattern.test(text)
const isFileId = (text: string): text is FileId => fileIdPattern.test(text)

/** Which file a request is about. Parameters are named as the contract names them. */
export const decodeName = (target: string, source: string, fileId: string): Decoded<SharedFileName> => {
  if (!isNodeId(target)) return Either.left(invalid("target_uuid", nodeIdForm))
  if (!isNodeId(source)) return Either.left(invalid("source-uuid", nodeIdForm))
  if (!isFileId(fileId)) return Either.left(invalid("file_id", fileIdForm))
  return Either.right({ target, source, fileId })
}

const required = (search: Parameters, name: string, what: string): Decoded<string> =>
  Either.flatMap(
    parameter(search, name),
    Either.fromOption(() => invalid(name, what))
  )

const usualAlgorithm: Decoded<ContentHash.HashAlgorithm> = Either.right("sha512")

const decodeAlgorithm = (name: string, text: string): Decoded<ContentHash.HashAlgorithm> =>
  text === "sha256" || text === "sha512" ? Either.right(text) : Either.left(invalid(name, "sha512 or sha256"))

/** The algorithm follows from the length. */
export const decodeHash = (name: string, text: string): Decoded<ContentHash.ContentHash> =>
  Either.fromOption(ContentHash.parse(text), () =>
    invalid(name, "64 hex digits for sha256, or 128 for sha512")
  )

/** The hash that comes with a signature is of the same kind. */
const decodeHashOf =
  (name: string, algorithm: ContentHash.HashAlgorithm) =>
  (text: string): Decoded<ContentHash.ContentHash> =>
    Either.filterOrLeft(
      decodeHash(name, text),
      (hash) => hash.algorithm === algorithm,
      () => invalid(name, `the ${algorithm} of the content, since that is what was signed`)
    )

/** The ttl of a query; empty is for ever. */
export const decodeTtl = (text: string): Decoded<Ttl.Ttl> =>
  Either.fromOption(Ttl.parse(text), () =>
    invalid("ttl", "a time such as 1week, 1d 2h, 90min or 3600 (seconds), or nothing for ever")
  )

const decodeDate = (text: string): Decoded<string> =>
  Option.isSome(SignedScope.parseDate(text))
    ? Either.right(text)
    : Either.left(invalid("date", "an RFC 3339 date such as 2026-01-05T09:00:00Z"))

/** A signed ttl is handed on in a header block, which loses spaces around a value: with them the signature would be wrong. */
export const decodeSignedTtl = (text: string): Decoded<string> =>
  text === text.trim() ? Either.right(text) : Either.left(invalid("ttl", "no spaces around what is signed"))

const optional = <A>(
  given: Option.Option<string>,
  decode: (text: string) => Decoded<A>
): Decoded<Option.Option<A>> =>
  Option.match(given, {
    onNone: () => Either.right(Option.none()),
    onSome: (text) => Either.map(decode(text), Option.some)
  })

const optionalParameter = <A>(
  search: Parameters,
  name: string,
  decode: (text: string) => Decoded<A>
): Decoded<Option.Option<A>> => {
  const given = parameter(search, name)
  return Either.isLeft(given) ? Either.left(given.left) : optional(given.right, decode)
}

const noScope: Decoded<Option.Option<SignedScope.ClaimedScope>> = Either.right(Option.none())

const decodeScope = (search: Parameters, ttl: string): Decoded<Option.Option<SignedScope.ClaimedScope>> => {
  const date = parameter(search, "date")
  if (Either.isLeft(date)) return Either.left(date.left)
  const signature = parameter(search, "request-signature")
  if (Either.isLeft(signature)) return Either.left(signature.left)
  if (Option.isNone(date.right) && Option.isNone(signature.right)) return noScope
  if (Option.isNone(date.right) || Option.isNone(signature.right)) {
    const missing = Option.isNone(date.right) ? "date" : "request-signature"
    return Either.left(invalid(missing, "both date and request-signature, or neither"))
  }
  const both = { date: date.right.value, signature: signature.right.value }
  return Either.gen(function* () {
    return Option.some({
      // The `+` of a time zone, which the decoding of the query made a space.
      date: yield* decodeDate(both.date.replace(/ (\d{2}:\d{2})$/, "+$1")),
      ttl: yield* decodeSignedTtl(ttl),
      requestSignature: yield* Signature.decode("request-signature", both.signature)
    })
  })
}

/**
 * The parameters of `POST shared-files/node/…`, but for the source. Without a generator, since it is the way of every small
 * upload.
 */
export const decodePost = (search: Parameters): Decoded<Claim> => {
  const ttlText = parameter(search, "ttl")
  if (Either.isLeft(ttlText)) return Either.left(ttlText.left)
  const signed = required(search, "signature", "the source's signature over the content")
  if (Either.isLeft(signed)) return Either.left(signed.left)
  const algorithmText = parameter(search, "algorithm")
  if (Either.isLeft(algorithmText)) return Either.left(algorithmText.left)
  const algorithm = Option.isNone(algorithmText.right)
    ? usualAlgorithm
    : decodeAlgorithm("algorithm", algorithmText.right.value)
  if (Either.isLeft(algorithm)) return Either.left(algorithm.left)
  const signature = Signature.decode("signature", signed.right)
  if (Either.isLeft(signature)) return Either.left(signature.left)
  const key = optionalParameter(search, "public-key", (text) => Signature.decodeKey("public-key", text))
  if (Either.isLeft(key)) return Either.left(key.left)
  const hash = optionalParameter(search, "hash", decodeHashOf("hash", algorithm.right))
  if (Either.isLeft(hash)) return Either.left(hash.left)
  const written = Option.getOrElse(ttlText.right, () => "")
  const ttl = decodeTtl(written)
  if (Either.isLeft(ttl)) return Either.left(ttl.left)
  return Either.map(decodeScope(search, written), (scope) => ({
    algorithm: algorithm.right,
    signature: signature.right,
    key: key.right,
    hash: hash.right,
    keydate: Option.none(),
    ttl: ttl.right,
    scope
  }))
}

/** The hash that `HEAD` asks for; none where it names none. An `algorithm` may say again what the length says. */
export const decodeAsked = (search: Parameters): Decoded<Option.Option<ContentHash.ContentHash>> => {
  const given = parameter(search, "hash")
  if (Either.isLeft(given)) return Either.left(given.left)
  const hash = optional(given.right, (text) => decodeHash("hash", text))
  if (Either.isLeft(hash)) return hash
  const algorithm = parameter(search, "algorithm")
  if (Either.isLeft(algorithm)) return Either.left(algorithm.left)
  if (Option.isNone(hash.right) || Option.isNone(algorithm.right)) return hash
  return hash.right.value.algorithm === algorithm.right.value
    ? hash
    : Either.left(invalid("algorithm", "the one that made the hash"))
}

/** The hash that the older `HEAD` asks for; none where it names none, or what is no hash: no file has it. */
export const decodeOlderAsked = (search: Parameters): Decoded<Option.Option<ContentHash.ContentHash>> =>
  Either.map(parameter(search, "hash"), Option.flatMap(ContentHash.parse))

const field = (block: HeaderBlock, key: string): Decoded<string> => {
  const value = block.get(key)
  return value === undefined || value === ""
    ? Either.left(invalid(key, "it in the header block"))
    : Either.right(value)
}

/** The signed scope in a header block. Without `request_signature` there is none, and `date` and `ttl` mean nothing. */
const blockScope = (block: HeaderBlock): Decoded<Option.Option<SignedScope.ClaimedScope>> =>
  optional(Option.fromNullable(block.get("request_signature")), (signature) =>
    Either.gen(function* () {
      return {
        date: yield* decodeDate(yield* field(block, "date")),
        ttl: block.get("ttl") ?? "",
        requestSignature: yield* Signature.decode("request_signature", signature)
      }
    })
  )

/** What is left of a signed ttl may be less than was signed, and never more; nothing in the query: as was signed. */
const remainingTtl = (query: string, scope: Option.Option<SignedScope.ClaimedScope>): Decoded<Ttl.Ttl> =>
  Option.match(scope, {
    onNone: () => decodeTtl(query),
    onSome: (claimed) =>
      Either.gen(function* () {
        const signed = yield* decodeTtl(claimed.ttl)
        const ttl = query.trim() === "" ? signed : yield* decodeTtl(query)
        return Ttl.isAtMost(ttl, signed)
          ? ttl
          : yield* Either.left(invalid("ttl", "no more than the ttl that was signed"))
      })
  })

/** The header block of `PUT shared-files/…`, together with the ttl of its query. */
export const decodeBlock = (block: HeaderBlock, ttl: string): Decoded<Claim> =>
  Either.gen(function* () {
    const header = yield* field(block, "header")
    if (header !== "rudder-signature-v1") yield* Either.left(invalid("header", "rudder-signature-v1"))
    const scope = yield* blockScope(block)
    const algorithm = yield* decodeAlgorithm("algorithm", yield* field(block, "algorithm"))
    return {
      algorithm,
      signature: yield* Signature.decode("digest", yield* field(block, "digest")),
      key: Option.some(yield* Signature.decodeKey("short_pubkey", yield* field(block, "short_pubkey"))),
      hash: Option.some(yield* decodeHashOf("hash_value", algorithm)(yield* field(block, "hash_value"))),
      keydate: Option.fromNullable(block.get("keydate")),
      ttl: yield* remainingTtl(ttl, scope),
      scope
    }
  })
