/** Which keys a source signs with: what the nodes list and the certificates say, never the sender alone. */
import type { KeyObject } from "node:crypto"
import { Effect, Option } from "effect"
import { perObject } from "../../PerObject.ts"
import { InvalidRequest } from "../../RelayError.ts"
import type { Certificates } from "../../topology/Certificates.ts"
import * as KeyHash from "../../topology/KeyHash.ts"
import type { Node } from "../../topology/Node.ts"
import { BadSignature } from "../file/SharedFileError.ts"
import * as Signature from "../file/Signature.ts"

/** Says whether a key is the one that the nodes list names; none where it names none that can be read. */
type NamedKey = Option.Option<(key: KeyObject) => boolean>

const readNamedKey = ({ keyHash }: Node): NamedKey =>
  Option.map(Option.flatMap(keyHash, KeyHash.parse), (named) => (key) => KeyHash.isOf(named, key))

/** What a list names is read once: each upload of a node asks for it. */
const namedKey = perObject(readNamedKey)

/** The keys of a node's certificates that can sign and that the nodes list does not contradict. */
const certifiedKeys = (certificates: Certificates["Type"], source: Node) =>
  Effect.map(certificates.forNode(source.id), (found) => {
    const isNamed = Option.getOrElse(namedKey(source), () => () => true)
    return found.map(({ publicKey }) => publicKey).filter((key) => Signature.isUsable(key) && isNamed(key))
  })

const mismatch = ({ id }: Node) =>
  new BadSignature({ reason: "key-mismatch", message: `the key is not the one that is known of ${id}` })

/** The key that was sent, when it is the one that the nodes list names; where it names none, that of a certificate. */
const sentKey = (certificates: Certificates["Type"], source: Node, key: KeyObject): Resolved => {
  const isNamed = namedKey(source)
  if (Option.isSome(isNamed)) return isNamed.value(key) ? Effect.succeed([key]) : mismatch(source)
  return Effect.flatMap(certifiedKeys(certificates, source), (known): Resolved => {
    if (known.length === 0)
      return new BadSignature({
        reason: "unknown-source",
        message: `neither the nodes list nor the certificates have a key of ${source.id}`
      })
    return known.some((one) => one.equals(key)) ? Effect.succeed([key]) : mismatch(source)
  })
}

type Resolved = Effect.Effect<ReadonlyArray<KeyObject>, BadSignature | InvalidRequest>

/**
 * The keys of which one has to have made a source's signatures; never none.
 *
 * @param sent the key that came with the file, if one did
 */
export const resolve = (
  certificates: Certificates["Type"],
  source: Node,
  sent: Option.Option<KeyObject>
): Resolved =>
  Option.isSome(sent)
    ? sentKey(certificates, source, sent.value)
    : Effect.filterOrFail(
        certifiedKeys(certificates, source),
        (keys) => keys.length > 0,
        () =>
          new InvalidRequest({
            parameter: "public-key",
            message: `public-key: expected it, since no certificate here has the key of ${source.id}`
          })
      )
