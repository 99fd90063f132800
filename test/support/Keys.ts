/** RSA keys for tests, made once per file that asks. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign
} from "node:crypto"
import { readFileSync } from "node:fs"

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

export const newKey = (modulusLength = 2048): Key =>
  keyOf(generateKeyPairSync("rsa", { modulusLength }).privateKey)

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
