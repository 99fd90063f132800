/** What stands beside a stored file, in `<file_id>.metadata`: the header block, and what the relay knows. */

import type { KeyObject } from "node:crypto"
import { Option } from "effect"
import { bufferOf } from "../../Bytes.ts"
import * as ContentHash from "../../disk/ContentHash.ts"
import { isHostname } from "../../Hostname.ts"
import * as DateTime from "../../http/DateTime.ts"
import type { Node } from "../../topology/Node.ts"
import * as HeaderBlock from "./HeaderBlock.ts"
import * as Signature from "./Signature.ts"
import * as SignedScope from "./SignedScope.ts"
import * as Ttl from "./Ttl.ts"

/** Texts are as they are in the file: one line, no spaces around. */
export interface Metadata {
  readonly hash: ContentHash.ContentHash
  /** The signature, in hex. */
  readonly digest: string
  /** The source's key: base64 of its PKCS#1 DER. */
  readonly shortPubkey: string
  readonly hostname: string
  readonly keydate: string
  readonly keyid: string
  /**
   * RFC 3339: what the source signed, else when the file was accepted. The content's modification time, too. None, like
   * the size, where an older relay stored the file.
   */
  readonly date: Option.Option<string>
  /** Bytes. */
  readonly size: Option.Option<number>
  /** Unix time. */
  readonly expires: Option.Option<number>
  /** The signed scope: its signature, in hex, and the ttl as it was signed. */
  readonly scope: Option.Option<{ readonly requestSignature: string; readonly ttl: string }>
}

/** A file whose signatures and hash are right. */
export interface VerifiedFile {
  readonly source: Node
  readonly key: KeyObject
  readonly hash: ContentHash.ContentHash
  readonly signature: Uint8Array
  /** As the source wrote it, if it did. */
  readonly keydate: Option.Option<string>
  readonly ttl: Ttl.Ttl
  readonly scope: Option.Option<SignedScope.ClaimedScope>
}

const hex = (bytes: Uint8Array): string => bufferOf(bytes).toString("hex")

/** The time that a stored file's content has as its modification time. Milliseconds; none where an older relay stored it. */
export const dateOf = ({ date }: Metadata): Option.Option<number> =>
  Option.flatMap(date, SignedScope.parseDate)

/** Its ttl counts from now, and a signed one also from the date that was signed. Unix time; none: never. */
const expiryOf = ({ ttl, scope }: VerifiedFile, now: number): Option.Option<number> => {
  const own = Ttl.expiry(ttl, now)
  if (Option.isNone(scope)) return own
  const signed = Option.map(SignedScope.end(scope.value), (time) => Math.ceil(time / 1000))
  if (Option.isNone(own) || Option.isNone(signed)) return Option.orElse(own, () => signed)
  return Option.some(Math.min(own.value, signed.value))
}

const isPlainText = (text: string): boolean => /^[\x21-\x7e](?:[\x20-\x7e]{0,98}[\x21-\x7e])?$/.test(text)

/**
 * The metadata of a file that is accepted now. Instead of a name or a date that could break a line comes the source's
 * id, or the date of acceptance.
 *
 * @param size bytes
 * @param now milliseconds since 1970
 */
export const describe = (file: VerifiedFile, size: number, now: number): Metadata => {
  const accepted = DateTime.print(now)
  return {
    hash: file.hash,
    digest: hex(file.signature),
    shortPubkey: Signature.encodeKey(file.key),
    hostname: isHostname(file.source.hostname) ? file.source.hostname : file.source.id,
    keydate: Option.getOrElse(Option.filter(file.keydate, isPlainText), () => accepted),
    keyid: Signature.keyId(file.key),
    date: Option.some(Option.match(file.scope, { onNone: () => accepted, onSome: ({ date }) => date })),
    size: Option.some(size),
    expires: expiryOf(file, now),
    scope: Option.map(file.scope, ({ requestSignature, ttl }) => ({
      requestSignature: hex(requestSignature),
      ttl
    }))
  }
}

const headerName = "rudder-signature-v1"

const { line } = HeaderBlock

const optionalLine = (key: string, value: Option.Option<string | number>): string =>
  Option.isSome(value) ? line(key, value.value) : ""

const scopeLines = (scope: Metadata["scope"]): string =>
  Option.isSome(scope)
    ? line("request_signature", scope.value.requestSignature) + line("ttl", scope.value.ttl)
    : ""

/** As it stands in the file. */
export const print = (metadata: Metadata): string =>
  line("header", headerName) +
  line("algorithm", metadata.hash.algorithm) +
  line("digest", metadata.digest) +
  line("hash_value", metadata.hash.hex) +
  line("short_pubkey", metadata.shortPubkey) +
  line("hostname", metadata.hostname) +
  line("keydate", metadata.keydate) +
  line("keyid", metadata.keyid) +
  optionalLine("date", metadata.date) +
  optionalLine("size", metadata.size) +
  optionalLine("expires", metadata.expires) +
  scopeLines(metadata.scope)

/** A whole number that may be absent; undefined: it is there, and is no number. */
const optionalNumber = (text: string | undefined): Option.Option<number> | undefined => {
  if (text === undefined) return Option.none()
  return /^\d{1,15}$/.test(text) ? Option.some(Number(text)) : undefined
}

/** None where it is neither of this relay's nor of an older one's making. */
export const parse = (text: string): Option.Option<Metadata> =>
  Option.flatMap(Option.getRight(HeaderBlock.parse(text)), ofBlock)

/** The same of lines that were taken apart before. Read for each file that is sent: in plain steps it takes a fifth of the time. */
export const ofBlock = (block: HeaderBlock.HeaderBlock): Option.Option<Metadata> => {
  const hash = Option.getOrUndefined(ContentHash.parse(block.get("hash_value") ?? ""))
  const [digest, shortPubkey, hostname] = [
    block.get("digest"),
    block.get("short_pubkey"),
    block.get("hostname")
  ]
  const [keydate, keyid, requestSignature] = [
    block.get("keydate"),
    block.get("keyid"),
    block.get("request_signature")
  ]
  const [size, expires] = [optionalNumber(block.get("size")), optionalNumber(block.get("expires"))]
  const isWhole =
    block.get("header") === headerName &&
    hash !== undefined &&
    hash.algorithm === block.get("algorithm") &&
    digest !== undefined &&
    shortPubkey !== undefined &&
    hostname !== undefined &&
    keydate !== undefined &&
    keyid !== undefined &&
    size !== undefined &&
    expires !== undefined
  if (!isWhole) return Option.none()
  return Option.some({
    hash,
    digest,
    shortPubkey,
    hostname,
    keydate,
    keyid,
    date: Option.fromNullable(block.get("date")),
    size,
    expires,
    scope:
      requestSignature === undefined
        ? Option.none()
        : Option.some({ requestSignature, ttl: block.get("ttl") ?? "" })
  })
}
