/**
 * RSA signatures (PKCS#1 v1.5) as `openssl dgst -sign` makes them, over a hash that was made while the bytes came in.
 */
import {
  constants,
  createPublicKey,
  hash as digestOf,
  type KeyObject,
  privateEncrypt,
  publicDecrypt
} from "node:crypto"
import { Either, Option } from "effect"
import type { HashAlgorithm } from "../../disk/ContentHash.ts"
import { perObject } from "../../PerObject.ts"
import { InvalidRequest } from "../../RelayError.ts"

/** What stands before the hash in what is signed: the ASN.1 that names the algorithm (RFC 8017, 9.2). */
const digestInfo: Record<HashAlgorithm, Buffer> = {
  sha256: Buffer.from("3031300d060960864801650304020105000420", "hex"),
  sha512: Buffer.from("3051300d060960864801650304020305000440", "hex")
}

const smallestKey = 2048
const largestKey = 8192

const invalid = (parameter: string, expected: string) =>
  new InvalidRequest({ parameter, message: `${parameter}: expected ${expected}` })

const isHex = (text: string): boolean => /^(?:[0-9a-fA-F]{2})+$/.test(text)
const isBase64 = (text: string): boolean => /^[A-Za-z0-9+/_-]+={0,2}$/.test(text)

/** A space stands for the `+` that the decoding of a query made it from. */
const withPlus = (text: string): string => text.trim().replaceAll(" ", "+")

const hasLength = (signature: Buffer): boolean =>
  signature.length >= smallestKey / 8 && signature.length <= largestKey / 8

/** Hex, base64 or base64url. No base64 of a signature is hex by chance: it has 342 digits at the least. */
export const decode = (parameter: string, text: string): Either.Either<Buffer, InvalidRequest> => {
  const given = withPlus(text)
  const signature = isHex(given)
    ? Buffer.from(given, "hex")
    : Buffer.from(isBase64(given) ? given : "", "base64url")
  return hasLength(signature)
    ? Either.right(signature)
    : Either.left(invalid(parameter, "a signature by an RSA key of 2048 to 8192 bits, in hex or base64"))
}

/** What is written of a key. */
interface KeyForms {
  readonly pkcs1: string
  readonly id: string
}

const formsOf = (key: KeyObject): KeyForms => {
  const { n = "" } = key.export({ format: "jwk" })
  return {
    pkcs1: key.export({ type: "pkcs1", format: "der" }).toString("base64"),
    id: Buffer.from(n, "base64url").toString("hex").slice(-8).toUpperCase()
  }
}

/** A key has one set of them, made once. */
const forms = perObject(formsOf)

/** Bits of a key: a smaller one proves nothing, and a larger one costs too much to check. */
export const isUsable = (key: KeyObject): boolean => {
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
  return key.asymmetricKeyType === "rsa" && bits >= smallestKey && bits <= largestKey
}

/** Node would also make a public key of a secret one, and of a DER with something behind it. */
const parseKey = (der: Buffer) =>
  Option.firstSomeOf(
    (["pkcs1", "spki"] as const).map((type) =>
      Option.liftThrowable(() => createPublicKey({ key: der, format: "der", type }))().pipe(
        Option.filter((key) =>
          Option.liftThrowable(() => key.export({ type, format: "der" }).equals(der))().pipe(
            Option.getOrElse(() => false)
          )
        )
      )
    )
  )

/**
 * Keys that were sent, by the text that they were sent as: a source sends the same with each file, and to read one takes
 * longer than to check a signature by it. So many of them take a megabyte or two.
 */
const sentKeys = new Map<string, KeyObject>()
const mostSentKeys = 1000

const readKey = (text: string): Option.Option<KeyObject> =>
  Option.filter(parseKey(Buffer.from(isBase64(text) ? text : "", "base64url")), isUsable)

/** The base64, in one line, of a DER in PKCS#1 (`RSA PUBLIC KEY`) or SPKI (`PUBLIC KEY`) form. */
export const decodeKey = (parameter: string, text: string): Either.Either<KeyObject, InvalidRequest> => {
  const given = withPlus(text)
  const known = sentKeys.get(given)
  if (known !== undefined) return Either.right(known)
  const key = Option.getOrUndefined(readKey(given))
  if (key === undefined)
    return Either.left(invalid(parameter, "the base64 of the DER of an RSA public key of 2048 to 8192 bits"))
  const oldest = sentKeys.keys().next()
  if (sentKeys.size >= mostSentKeys && oldest.done !== true) sentKeys.delete(oldest.value)
  // Of the text itself, a copy: it is a part of a longer one, such as a whole header block, and would keep all of that.
  sentKeys.set(Buffer.from(given).toString("latin1"), key)
  return Either.right(key)
}

/** A key's PKCS#1 DER in base64: how agents write it. */
export const encodeKey = (key: KeyObject): string => forms(key).pkcs1

/** The last 8 hex digits of the modulus, in upper case, as agents write it. */
export const keyId = (key: KeyObject): string => forms(key).id

/** The signature of something with this hash. Node itself signs no hash that is already made. */
export const ofHash = (key: KeyObject, algorithm: HashAlgorithm, hash: Uint8Array): Buffer =>
  privateEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, Buffer.concat([digestInfo[algorithm], hash]))

/** Whether what was signed is this hash, behind what names its algorithm. */
const isInfoOf = (signed: Buffer, algorithm: HashAlgorithm, hash: Uint8Array): boolean => {
  const info = digestInfo[algorithm]
  return (
    signed.length === info.length + hash.length &&
    signed.compare(info, 0, info.length, 0, info.length) === 0 &&
    signed.compare(hash, 0, hash.length, info.length) === 0
  )
}

/** Whether this is the key's signature of something with this hash. Node itself has no such check of a finished hash. */
export const verifies = (
  key: KeyObject,
  algorithm: HashAlgorithm,
  hash: Uint8Array,
  signature: Uint8Array
): boolean => {
  if (signature.length !== Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8)) return false
  try {
    return isInfoOf(publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, signature), algorithm, hash)
  } catch {
    return false
  }
}

/** Whether this is the key's signature of this text. */
export const verifiesText = (
  key: KeyObject,
  algorithm: HashAlgorithm,
  text: string,
  signature: Uint8Array
): boolean => verifies(key, algorithm, digestOf(algorithm, text, "buffer"), signature)
