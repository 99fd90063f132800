/** Self-signed certificates as node agents have them (RSA, no SAN, `UID=<node id>`), written in DER by hand: node makes none. */
import { createPublicKey, generateKeyPairSync, type KeyObject, sign, X509Certificate } from "node:crypto"

const der = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const content = Buffer.concat(parts)
  const { length } = content
  const header =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(header), content])
}

const sequence = (...parts: ReadonlyArray<Uint8Array>) => der(0x30, ...parts)
const sha256WithRsa = sequence(Buffer.from("06092a864886f70d01010b0500", "hex"))
const oids = { UID: "060a0992268993f22c640101", CN: "0603550403" }

/** An attribute of a subject. */
export type Attribute = readonly ["UID" | "CN", string]

const attribute = ([type, value]: Attribute) =>
  sequence(Buffer.from(oids[type], "hex"), der(0x0c, Buffer.from(value)))

/** A new RSA key; those of node agents have 4096 bits, and take a second to make. */
export const newKey = (modulusLength: number): KeyObject =>
  generateKeyPairSync("rsa", { modulusLength }).privateKey

/**
 * A certificate for a new RSA key.
 *
 * @param subject its RDNs, each of one or more attributes
 *
 * @example
 * const { cert, key } = SelfSigned.selfSigned([["UID", "edge"]]) // of the node `edge`, in PEM
 */
export const selfSigned = (...subject: ReadonlyArray<ReadonlyArray<Attribute>>) =>
  certificateOf(newKey(2048), subject)

/** The certificate of an agent, as `rudder agent` makes it, but for the dates. */
export const certificateOf = (
  privateKey: KeyObject,
  subject: ReadonlyArray<ReadonlyArray<Attribute>>,
  validUntil = "21200101000000Z",
  issuer = subject
) => {
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" })
  const name = (rdns: typeof subject) => sequence(...rdns.map((rdn) => der(0x31, ...rdn.map(attribute))))
  const validity = sequence(der(0x18, Buffer.from("20200101000000Z")), der(0x18, Buffer.from(validUntil)))
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1])),
    sha256WithRsa,
    name(issuer),
    validity,
    name(subject),
    spki
  )
  const signature = der(0x03, Buffer.from([0]), sign("sha256", body, privateKey))
  const x509 = new X509Certificate(sequence(body, sha256WithRsa, signature))
  return {
    x509,
    cert: x509.toString(),
    key: privateKey.export({ type: "pkcs1", format: "pem" }).toString(),
    spki,
    pkcs1: createPublicKey(privateKey).export({ type: "pkcs1", format: "der" })
  }
}
