/** The hash of a file's content. */
import { hash } from "node:crypto"
import { Option } from "effect"

/** The algorithms that sources sign with. */
export type HashAlgorithm = "sha256" | "sha512"

/** A hash, and what made it. */
export interface ContentHash {
  readonly algorithm: HashAlgorithm
  /** Lower case. */
  readonly hex: string
}

/** Its form in hex. */
export const pattern = /^(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{128})$/

const digits = /^[0-9a-fA-F]+$/

/** The algorithm follows from the length: 64 hex digits are sha256, 128 are sha512. None for other text. */
export const parse = (text: string): Option.Option<ContentHash> => {
  // The pattern with the lengths would look at half of a long one twice.
  if ((text.length !== 64 && text.length !== 128) || !digits.test(text)) return Option.none()
  return Option.some({ algorithm: text.length === 64 ? "sha256" : "sha512", hex: text.toLowerCase() })
}

/** So much is hashed in no time: it would take longer to have a thread do it. Bytes. */
export const small = 64 * 1024

/** The digest of bytes that are few. */
export const digestOf = (algorithm: HashAlgorithm, bytes: Uint8Array): Buffer =>
  hash(algorithm, bytes, "buffer")

/** `<algorithm>:<hex>` */
export const print = ({ algorithm, hex }: ContentHash): string => `${algorithm}:${hex}`

/** Whether both are the same hash by the same algorithm. */
export const equals = (one: ContentHash, other: ContentHash): boolean =>
  one.algorithm === other.algorithm && one.hex === other.hex
