/** What a source signs: the content of a file, and for whom, under which name, for how long and when it sends it. */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto"
import { Effect, Redacted, Schema, Stream } from "effect"
import type { ContentHash, HashAlgorithm } from "../disk/ContentHash.ts"
import type { SharedFileName } from "../shared-files/file/FileId.ts"
import * as Signature from "../shared-files/file/Signature.ts"
import * as SignedScope from "../shared-files/file/SignedScope.ts"

/** The key is none that a relay takes: not PEM, encrypted by another passphrase than CFEngine's own, not RSA, or not of 2048 to 8192 bits. */
export class UnusableKey extends Schema.TaggedError<UnusableKey>()("UnusableKey", {
  message: Schema.String
}) {}

/** A source's secret key: PEM, also encrypted by CFEngine's own passphrase, or node's own form of a key. */
export type SigningKey = string | Redacted.Redacted<string> | KeyObject

/** CFEngine's own, by which older versions encrypt the keys of agents. Node ignores it for a key without one. */
const passphrase = "Cfengine passphrase"

const readPem = (pem: string): KeyObject => {
  try {
    return createPrivateKey({ key: pem, passphrase })
  } catch (cause) {
    // OpenSSL says of it that padding is wrong, or the like.
    if (/^(Proc-Type:.*|-+BEGIN )ENCRYPTED/m.test(pem))
      throw new Error("it is encrypted, and not by CFEngine's own passphrase", { cause })
    throw cause
  }
}

/** A key that signs. Fails where a relay would not take its signatures. */
export const keyOf = (given: SigningKey): Effect.Effect<KeyObject, UnusableKey> =>
  Effect.try({
    try: () => {
      if (typeof given === "string") return readPem(given)
      return Redacted.isRedacted(given) ? readPem(Redacted.value(given)) : given
    },
    // What node says does not show the key.
    catch: (cause) =>
      new UnusableKey({ message: `the key can't be read: ${cause instanceof Error ? cause.message : cause}` })
  }).pipe(
    Effect.filterOrFail(
      (key) => key.type === "private" && Signature.isUsable(key),
      () => new UnusableKey({ message: "the key is no secret RSA key of 2048 to 8192 bits" })
    )
  )

/** A content that was read once, and what of it is signed. */
export interface SignedContent {
  readonly hash: ContentHash
  /** Bytes. */
  readonly size: number
  readonly signature: Buffer
}

/** Reads a content to its end. */
export const read = <E, R>(
  content: Stream.Stream<Uint8Array, E, R>,
  algorithm: HashAlgorithm,
  key: KeyObject
): Effect.Effect<SignedContent, E, R> =>
  Effect.suspend(() => {
    const hash = createHash(algorithm)
    let size = 0
    return Stream.runForEachChunk(content, (pieces) =>
      Effect.sync(() => {
        for (const piece of pieces) {
          hash.update(piece)
          size += piece.length
        }
      })
    ).pipe(
      Effect.map(() => {
        const digest = hash.digest()
        return {
          hash: { algorithm, hex: digest.toString("hex") },
          size,
          signature: Signature.ofHash(key, algorithm, digest)
        }
      })
    )
  })

/** The parameters that go with a signed file. */
export const parametersOf = (
  name: SharedFileName,
  { hash, signature }: SignedContent,
  scope: { readonly ttl: string; readonly date: string },
  key: KeyObject
): Record<string, string> => ({
  "source-uuid": name.source,
  algorithm: hash.algorithm,
  hash: hash.hex,
  ttl: scope.ttl,
  date: scope.date,
  signature: signature.toString("base64url"),
  "request-signature": sign(
    hash.algorithm,
    Buffer.from(SignedScope.signedText(name, scope, hash)),
    key
  ).toString("base64url"),
  "public-key": Signature.encodeKey(createPublicKey(key))
})
