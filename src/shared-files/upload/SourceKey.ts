/** Which keys a source signs with: what the nodes list and the certificates say, never the sender alone. */
import type { KeyObject } from "node:crypto"
import { Effect, Option } from "effect"
import { InvalidRequest } from "../../RelayError.ts"
import { Certificates } from "../../topology/Certificates.ts"
import * as KeyHash from "../../topology/KeyHash.ts"
import type { Node } from "../../topology/Node.ts"
import { BadSignature } from "../file/SharedFileError.ts"
import * as Signature from "../file/Signature.ts"

/** Says whether a key is the one that the nodes list names; none where it names none that can be read. */
const namedKey = (source: Node): Option.Option<(key: KeyObject) => boolean> =>
  Option.map(
    Option.filter(source.keyHash, (text) => Option.isSome(KeyHash.parse(text))),
    (text) => (key) => KeyHash.matches(text, key)
  )

/** The keys of a node's certificates that can sign and that the nodes list does not contradict. */
const certifiedKeys = (source: Node) =>
  Effect.gen(function* () {
    const certificates = yield* (yield* Certificates).forNode(source.id)
    const isNamed = Option.getOrElse(namedKey(source), () => () => true)
    return certificates
      .map(({ publicKey }) => publicKey)
      .filter((key) => Signature.isUsable(key) && isNamed(key))
  })

/** The key that was sent, when it is the one that the nodes list names; where it names none, that of a certificate. */
const sentKey = (source: Node, key: KeyObject) =>
  Effect.gen(function* () {
    const isNamed = namedKey(source)
    const known = Option.isSome(isNamed) ? [] : yield* certifiedKeys(source)
    if (Option.isNone(isNamed) && known.length === 0)
      return yield* new BadSignature({
        reason: "unknown-source",
        message: `neither the nodes list nor the certificates have a key of ${source.id}`
      })
    const isKnown = Option.getOrElse(isNamed, () => () => known.some((one) => one.equals(key)))
    if (!isKnown(key))
      return yield* new BadSignature({
        reason: "key-mismatch",
        message: `the key is not the one that is known of ${source.id}`
      })
    return [key]
  })

/**
 * The keys of which one has to have made a source's signatures; never none.
 *
 * @param sent the key that came with the file, if one did
 */
export const resolve = (
  source: Node,
  sent: Option.Option<KeyObject>
): Effect.Effect<ReadonlyArray<KeyObject>, BadSignature | InvalidRequest, Certificates> =>
  Option.isSome(sent)
    ? sentKey(source, sent.value)
    : Effect.filterOrFail(
        certifiedKeys(source),
        (keys) => keys.length > 0,
        () =>
          new InvalidRequest({
            parameter: "public-key",
            message: `public-key: expected it, since no certificate here has the key of ${source.id}`
          })
      )
