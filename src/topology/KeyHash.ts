/** The hash of a node's public key, as the nodes list has it: `sha256:HEX` or `sha256//BASE64`, likewise sha512. */

import { createHash, type KeyObject, timingSafeEqual } from "node:crypto"
import { Option } from "effect"
import { perObject } from "../PerObject.ts"

/** The bytes of such a hash. */
export interface KeyHash {
  readonly algorithm: "sha256" | "sha512"
  readonly digest: Uint8Array
}

const lengths = { sha256: 32, sha512: 64 } as const

/** None for what is empty or unreadable: then no key is known. */
export const parse = (text: string): Option.Option<KeyHash> => {
  const found = /^(sha256|sha512)(?::([0-9a-fA-F]+)|\/\/([A-Za-z0-9+/]+={0,2}))$/.exec(text.trim())
  const algorithm = found?.[1]
  if (algorithm !== "sha256" && algorithm !== "sha512") return Option.none()
  const digest =
    found?.[2] === undefined ? Buffer.from(found?.[3] ?? "", "base64") : Buffer.from(found[2], "hex")
  return digest.length === lengths[algorithm] ? Option.some({ algorithm, digest }) : Option.none()
}

/** Of each form of a key's DER. */
const hashedBy = (algorithm: KeyHash["algorithm"]) => (key: KeyObject) => {
  const forms = key.asymmetricKeyType === "rsa" ? (["spki", "pkcs1"] as const) : (["spki"] as const)
  return forms.map((type) =>
    createHash(algorithm)
      .update(key.export({ type, format: "der" }))
      .digest()
  )
}

/** A key's hashes are made once: the same key comes with each request of its owner. */
const hashesBy = { sha256: perObject(hashedBy("sha256")), sha512: perObject(hashedBy("sha512")) }

/** Whether it is the hash of this key's DER, in SPKI or (RSA) PKCS#1 form. */
export const isOf = ({ algorithm, digest }: KeyHash, key: KeyObject): boolean =>
  hashesBy[algorithm](key).some((hash) => timingSafeEqual(hash, digest))

/** The same of such a hash as text. */
export const matches = (text: string, key: KeyObject): boolean =>
  Option.exists(parse(text), (hash) => isOf(hash, key))

/** `sha256//BASE64` over the SPKI DER of a key, as the nodes list and `access.policy_server_key_hash` have it. */
export const of = (key: KeyObject): string => {
  const der = key.export({ type: "spki", format: "der" })
  return `sha256//${createHash("sha256").update(der).digest("base64")}`
}
