/** Keys and certificates as node agents have them: RSA 4096, self-signed, no SAN, `UID=<node id>` as subject. */
import { createHash, X509Certificate } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { command } from "./Program.ts"

export interface Identity {
  readonly id: string
  /** Files. */
  readonly certificate: string
  readonly key: string
  readonly pem: string
  /** `sha256//BASE64` of the key, as `access.policy_server_key_hash` has it. */
  readonly keyHash: string
}

const directories: Array<string> = []

/** Made by openssl, which takes a second for each. @param days how long the certificate is valid */
export const makeIdentity = async (id: string, days = 30): Promise<Identity> => {
  const directory = mkdtempSync(join(tmpdir(), "rudder-relay-identity-"))
  directories.push(directory)
  const certificate = join(directory, "cert.pem")
  const key = join(directory, "key.pem")
  const files = ["-keyout", key, "-out", certificate]
  const { code, stderr } = await command("openssl", [
    ...["req", "-x509", "-newkey", "rsa:4096", "-nodes", "-days", String(days), "-subj", `/UID=${id}`],
    ...files
  ])
  if (code !== 0) throw new Error(stderr)
  const pem = readFileSync(certificate, "utf8")
  const spki = new X509Certificate(pem).publicKey.export({ type: "spki", format: "der" })
  return {
    id,
    certificate,
    key,
    pem,
    keyHash: `sha256//${createHash("sha256").update(spki).digest("base64")}`
  }
}

export const removeIdentities = (): void => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
  directories.length = 0
}
