/** Who is at the other end of a request, as far as the connection and its headers tell. */
import type { X509Certificate } from "node:crypto"
import { IncomingMessage } from "node:http"
import type { Socket } from "node:net"
import { TLSSocket } from "node:tls"
import type { HttpServerRequest } from "@effect/platform"
import { Option } from "effect"
import * as HeaderCount from "../http/HeaderCount.ts"
import { perObject } from "../PerObject.ts"
import { uidOf } from "../topology/CertificateFile.ts"
import * as KeyHash from "../topology/KeyHash.ts"

/** What is known of a caller. The connection can be trusted; whether the headers can, `Access` decides. */
export interface Caller {
  /** The peer's address; empty when the connection is already gone (such a caller is refused everything). */
  readonly peer: string
  /** All `X-Forwarded-For` headers, joined by commas. */
  readonly forwardedFor: string | undefined
  readonly certificate: Option.Option<ClientCertificate>
}

/** Self-signed as a rule, and not checked against anything: it proves that the caller holds the key, no more. */
export interface ClientCertificate {
  /** `sha256//BASE64` over the SPKI DER of its key. */
  readonly keyHash: string
  /** The subject's UID: a node's certificate has the node's id there. */
  readonly uid: Option.Option<string>
  readonly x509: X509Certificate
}

const readCertificate = (socket: Socket): Option.Option<ClientCertificate> => {
  const x509 = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined
  if (x509 === undefined) return Option.none()
  return Option.some({ keyHash: KeyHash.of(x509.publicKey), uid: uidOf(x509.subject), x509 })
}

/** Reading a certificate costs more than the rest of a request, and a connection has only one. */
const certificateOf = perObject(readCertificate)

/** The caller of a request; served by another server than node's, it has an address at most. */
export const callerOf = (request: HttpServerRequest.HttpServerRequest): Caller => {
  const source: unknown = request.source
  const forwardedFor = request.headers["x-forwarded-for"]
  if (source instanceof IncomingMessage)
    return {
      peer: source.socket.remoteAddress ?? "",
      forwardedFor,
      certificate: certificateOf(source.socket)
    }
  return { peer: Option.getOrElse(request.remoteAddress, () => ""), forwardedFor, certificate: Option.none() }
}

/**
 * Whether the caller has gone before anybody looked at the request. A socket that is no TCP socket has no address of ours
 * either, and its caller none at any time.
 */
export const hasGone = (request: HttpServerRequest.HttpServerRequest): boolean => {
  const source: unknown = request.source
  if (!(source instanceof IncomingMessage)) return false
  const { destroyed, localAddress, remoteAddress } = source.socket
  return destroyed || (remoteAddress === undefined && localAddress !== undefined)
}

/** Whether a request names its host as it has to: once, which may be missing before HTTP/1.1 (RFC 9112, 3.2). */
export const namesItsHost = (request: HttpServerRequest.HttpServerRequest): boolean => {
  const source: unknown = request.source
  if (!(source instanceof IncomingMessage)) return true
  return (
    HeaderCount.of("host", request) < 2 &&
    (request.headers.host !== undefined || source.httpVersion !== "1.1")
  )
}

/** Whether the request came over TLS, to this very server. */
export const isEncrypted = (request: HttpServerRequest.HttpServerRequest): boolean => {
  const source: unknown = request.source
  return source instanceof IncomingMessage && source.socket instanceof TLSSocket
}

/** The address of ours that the connection was made to; undefined where the server does not tell. */
export const localAddress = (request: HttpServerRequest.HttpServerRequest): string | undefined => {
  const source: unknown = request.source
  return source instanceof IncomingMessage ? source.socket.localAddress : undefined
}
