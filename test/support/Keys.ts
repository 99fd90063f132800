/** RSA keys for tests, each made once by a process, whichever of its files ask for it. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign
} from "node:crypto"
import { readFileSync } from "node:fs"
import { type Attribute, certificateOf } from "../../src/testing/SelfSigned.ts"

export interface Key {
  readonly secret: KeyObject
  readonly key: KeyObject
  /** Base64 of the PKCS#1 DER in one line: a `public-key`, a `short_pubkey`. */
  readonly text: string
  /** As the nodes list has it. */
  readonly keyHash: string
}

export const keyOf = (secret: KeyObject): Key => {
  const key = createPublicKey(secret)
  const spki = key.export({ type: "spki", format: "der" })
  return {
    secret,
    key,
    text: key.export({ type: "pkcs1", format: "der" }).toString("base64"),
    keyHash: `sha256//${createHash("sha256").update(spki).digest("base64")}`
  }
}

const made = new Map<string, KeyObject>()

/**
 * The private key of this name and size: another name, another key, and the same one again. To make one takes a tenth of
 * a second, and one of 4096 bits a whole one.
 */
export const secretNamed = (name: string, modulusLength = 2048): KeyObject => {
  const id = `${modulusLength} ${name}`
  const secret = made.get(id) ?? generateKeyPairSync("rsa", { modulusLength }).privateKey
  made.set(id, secret)
  return secret
}

/** The same with its public key. */
export const keyNamed = (name: string, modulusLength?: number): Key => keyOf(secretNamed(name, modulusLength))

/** A self-signed certificate for the key of a name. */
export const certificateNamed = (name: string, ...subject: ReadonlyArray<ReadonlyArray<Attribute>>) =>
  certificateOf(secretNamed(name), subject)

/** The largest that is taken; making one takes half a minute. */
export const largestKey = (): Key =>
  keyOf(createPrivateKey(readFileSync(new URL("./rsa8192.pem", import.meta.url))))

export const signatureOf = (
  { secret }: Key,
  content: Uint8Array | string,
  algorithm: "sha256" | "sha512" = "sha512"
): Buffer => sign(algorithm, Buffer.from(content), secret)

export const hashOf = (content: Uint8Array | string, algorithm: "sha256" | "sha512" = "sha512"): string =>
  createHash(algorithm).update(content).digest("hex")
