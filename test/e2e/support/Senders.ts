/** Nodes that share files: with keys and signatures made by openssl, and sent by curl. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { command, curl, type NodeEntry, type Relay } from "./Program.ts"

export type Algorithm = "sha256" | "sha512"

const folder = mkdtempSync(join(tmpdir(), "rudder-relay-senders-"))
export const removeSenders = (): void => rmSync(folder, { recursive: true, force: true })

let files = 0
/** A file with this content. */
export const fileOf = (content: string | Uint8Array): string => {
  const path = join(folder, `file-${files++}`)
  writeFileSync(path, content)
  return path
}

const openssl = async (...args: ReadonlyArray<string>) => {
  const { code, stderr } = await command("openssl", args)
  if (code !== 0) throw new Error(`openssl ${args.join(" ")}: ${stderr}`)
}

/** The hash of a file, in hex. */
export const hashOf = async (path: string, algorithm: Algorithm = "sha512"): Promise<string> =>
  (await command("openssl", ["dgst", `-${algorithm}`, "-r", path])).stdout.split(" ")[0] ?? ""

export interface Sender {
  readonly id: string
  readonly keyFile: string
  /** Base64url of its key's PKCS#1 DER. */
  readonly publicKey: string
  /** As the nodes list has it. */
  readonly keyHash: string
  /** Over a file's content. */
  readonly sign: (path: string, algorithm?: Algorithm) => Promise<Buffer>
}

export const newSender = async (id: string, bits = 2048): Promise<Sender> => {
  const keyFile = join(folder, `${id}-${files++}.pem`)
  const der = `${keyFile}.der`
  const spki = `${keyFile}.spki`
  await openssl("genrsa", "-out", keyFile, String(bits))
  await openssl("rsa", "-in", keyFile, "-RSAPublicKey_out", "-outform", "DER", "-out", der)
  await openssl("rsa", "-in", keyFile, "-pubout", "-outform", "DER", "-out", spki)
  const sign = async (path: string, algorithm: Algorithm = "sha512") => {
    const signature = join(folder, `signature-${files++}`)
    await openssl("dgst", `-${algorithm}`, "-sign", keyFile, "-out", signature, path)
    return readFileSync(signature)
  }
  return {
    id,
    keyFile,
    publicKey: readFileSync(der).toString("base64url"),
    keyHash: `sha256:${await hashOf(spki, "sha256")}`,
    sign
  }
}

export const entryOf = (sender: Sender, policyServer = "root"): NodeEntry => ({
  hostname: `${sender.id.toLowerCase()}.example.com`,
  "policy-server": policyServer,
  "key-hash": sender.keyHash
})

export interface Sharing {
  readonly from: Sender
  readonly target: string
  readonly fileId: string
  /** The file that is sent. */
  readonly path: string
  readonly algorithm?: Algorithm
  readonly ttl?: string
  /** Signs the scope with this date. */
  readonly date?: string
  /** Parameters in place of those that belong there; null: left out. */
  readonly with?: Record<string, string | null>
}

/** The path and query that share a file. */
export const sharePath = async (sharing: Sharing): Promise<string> => {
  const { from, target, fileId, path, algorithm = "sha512", ttl, date } = sharing
  const parameters: Record<string, string | null> = {
    "source-uuid": from.id,
    signature: (await from.sign(path, algorithm)).toString("base64url"),
    "public-key": from.publicKey,
    algorithm,
    ttl: ttl ?? null
  }
  if (date !== undefined) {
    const lines = ["rudder-relay-2", target, from.id, fileId, ttl ?? "", date]
    const text = `${[...lines, `${algorithm}:${await hashOf(path, algorithm)}`].join("\n")}\n`
    parameters.date = date
    parameters["request-signature"] = (await from.sign(fileOf(text), algorithm)).toString("base64url")
  }
  const query = Object.entries({ ...parameters, ...sharing.with }).flatMap(([name, value]) =>
    value === null ? [] : [`${name}=${encodeURIComponent(value)}`]
  )
  return `/shared-files/node/${target}/${fileId}?${query.join("&")}`
}

/** Shares a file with curl. */
export const share = async (relay: Relay, sharing: Sharing, ...options: ReadonlyArray<string>) =>
  curl("-X", "POST", "-T", sharing.path, ...options, `${relay.url}${await sharePath(sharing)}`)

/** What existing agents put before the content; lines in place of those that belong there; null: left out. */
export const headerOf = async (
  from: Sender,
  path: string,
  algorithm: Algorithm = "sha512",
  lines: Record<string, string | null> = {}
): Promise<string> => {
  const block: Record<string, string | null> = {
    header: "rudder-signature-v1",
    algorithm,
    digest: (await from.sign(path, algorithm)).toString("hex"),
    hash_value: await hashOf(path, algorithm),
    short_pubkey: Buffer.from(from.publicKey, "base64url").toString("base64"),
    hostname: "agent.example.com",
    keydate: "2018-10-3118:21:43.653257143",
    keyid: "B29D02BB",
    ...lines
  }
  const printed = Object.entries(block).flatMap(([key, value]) =>
    value === null ? [] : [`${key}=${value}\n`]
  )
  return `${printed.join("")}\n`
}

/** Asks whether a file is there: the status of HEAD. */
export const head = async (relay: Relay, path: string): Promise<number> =>
  (await curl("-I", "-o", "/dev/null", `${relay.url}${path}`)).status

/** Asks for a file that was shared. */
export const isThere = async (relay: Relay, { from, target, fileId, path, algorithm }: Sharing) =>
  head(
    relay,
    `/shared-files/node/${target}/${fileId}?source-uuid=${from.id}&hash=${await hashOf(path, algorithm)}`
  )
