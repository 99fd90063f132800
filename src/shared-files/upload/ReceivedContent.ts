/** A file's content, as it came: taken to the disk, hashed, and no larger than it may be. */
import { Effect, Option, type Scope } from "effect"
import * as AtOnce from "../../AtOnce.ts"
import type { Settings } from "../../config/Settings.ts"
import * as ContentHash from "../../disk/ContentHash.ts"
import type { HasherService } from "../../disk/Hasher.ts"
import * as Incoming from "../../disk/Incoming.ts"
import * as BodyPace from "../../http/BodyPace.ts"
import type { RequestBody } from "../../http/RequestBody.ts"
import {
  type InvalidRequest,
  PayloadTooLarge,
  type RequestTimeout,
  type StorageError,
  type StorageFull
} from "../../RelayError.ts"
import type { Claim } from "../SharedFileRequest.ts"

/** A content that came. */
export interface ReceivedContent {
  /** Bytes. */
  readonly size: number
  readonly digest: Buffer
  readonly hash: ContentHash.ContentHash
}

/** What a content is received with. */
export interface Parts {
  readonly settings: Settings
  readonly hasher: HasherService
  /** Bytes of a body. */
  readonly limit: number
}

/** What is known of a content before it comes. */
export interface Announced {
  readonly claim: Pick<Claim, "algorithm">
  /** Bytes of the body that came before it. */
  readonly length: number
}

type Received = Effect.Effect<
  ReceivedContent,
  InvalidRequest | PayloadTooLarge | RequestTimeout | StorageError | StorageFull,
  Scope.Scope
>

const contentOf = (algorithm: ContentHash.HashAlgorithm, size: number, digest: Buffer): ReceivedContent => ({
  size,
  digest,
  hash: { algorithm, hex: digest.toString("hex") }
})

/**
 * Takes the content to the disk, and gives what it is.
 *
 * @param expected bytes, where they were announced
 */
export const receive = (
  parts: Parts,
  body: RequestBody,
  announced: Announced,
  expected: Option.Option<number>,
  incoming: Incoming.Incoming
): Received => {
  const { claim, length } = announced
  if (Option.isNone(expected) || expected.value > ContentHash.small)
    return inPieces(parts, body, announced, expected, incoming)
  const most = Math.min(ContentHash.small, parts.limit - length)
  // Of a small body nothing is waited for, as a rule, and then there is no pace to watch.
  return Effect.flatMap(body.whole, (whole) => {
    if (whole !== undefined && whole.length <= most)
      return AtOnce.map(incoming.write(whole, true), () =>
        contentOf(claim.algorithm, whole.length, ContentHash.digestOf(claim.algorithm, whole))
      )
    if (whole !== undefined) body.putBack(whole)
    return inPieces(parts, body, announced, expected, incoming)
  })
}

/** The same of a content that comes in pieces, at the pace that it has to have. */
const inPieces = (
  parts: Parts,
  body: RequestBody,
  { claim: { algorithm }, length }: Announced,
  expected: Option.Option<number>,
  incoming: Incoming.Incoming
): Received =>
  Effect.gen(function* () {
    const { hasher, limit } = parts
    const hashing = yield* hasher.begin(algorithm)
    const taking = Incoming.take<InvalidRequest | PayloadTooLarge>(incoming, body, {
      expected,
      limit: limit - length,
      tooLong: () => tooLarge(limit),
      hashing
    })
    const { size, digest } = yield* BodyPace.within(paceOf(parts), body)(taking)
    return contentOf(algorithm, size, digest)
  })

const paceOf = ({ settings: { limits, sharedFiles } }: Parts): BodyPace.PaceLimits => ({
  idle: limits.bodyIdleTimeout,
  minRate: sharedFiles.minRate,
  minRateSetBy: "shared_files.min_rate"
})

/** A body is longer than so many bytes. */
export const tooLarge = (limit: number): PayloadTooLarge =>
  new PayloadTooLarge({ message: `a body is at most ${limit} bytes (shared_files.max_body_size)`, limit })
