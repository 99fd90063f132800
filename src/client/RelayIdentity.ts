/** By which certificates a relay is known over TLS. */
import { X509Certificate } from "node:crypto"
import { checkServerIdentity, type PeerCertificate } from "node:tls"

/** Certificates in PEM: see `ConnectionOptions`. */
export interface Known {
  readonly pinned?: string
  readonly trusted?: string
}

const certificatesOf = (pem: string): ReadonlyArray<X509Certificate> =>
  Array.from(
    pem.matchAll(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g),
    ([one]) => new X509Certificate(one)
  )

/** Node has looked before whether the certificate itself, or who has signed it, is one of those that are given. */
const knowing = (pem: string, otherwise: (name: string, peer: PeerCertificate) => Error | undefined) => {
  const keys = certificatesOf(pem).map(({ publicKey }) => publicKey)
  return {
    ca: pem,
    checkServerIdentity: (name: string, peer: PeerCertificate) =>
      keys.some((key) => key.equals(new X509Certificate(peer.raw).publicKey))
        ? undefined
        : otherwise(name, peer)
  }
}

/** What of a TLS connection's options says which relay is trusted, for certificates that are pinned or trusted. */
export const identity = ({ pinned, trusted }: Known) => {
  if (pinned !== undefined)
    return knowing(
      pinned,
      () => new Error("the relay's certificate has another key than the one that is pinned")
    )
  return trusted === undefined ? {} : knowing(trusted, checkServerIdentity)
}
