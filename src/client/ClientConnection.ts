/** Connections to a relay: over HTTP, or over TLS with certificates of the program's own. */
import { X509Certificate } from "node:crypto"
import { checkServerIdentity, type PeerCertificate } from "node:tls"
import type { HttpClient } from "@effect/platform"
import { NodeHttpClient, Undici } from "@effect/platform-node"
import { Effect, Layer } from "effect"

/** How a relay is connected to over TLS. Each is text in PEM. */
export interface ConnectionOptions {
  /** Authorities by which the relay's certificate is trusted, in the place of the public ones. Its name is compared. */
  readonly ca?: string
  /** The relay's own certificate, or several: it is known by its key, and names, which Rudder's have none of, are not compared. */
  readonly pinned?: string
  /**
   * Either: authorities, as in `ca`, or the relay's own certificate, as in `pinned`. What curl's `--cacert` takes, and
   * besides a certificate without a name.
   */
  readonly trusted?: string
  /** The client's certificate: the relay knows the caller by its key. */
  readonly cert?: string
  /** Its secret key. */
  readonly key?: string
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

const identity = ({ pinned, trusted }: ConnectionOptions) => {
  if (pinned !== undefined)
    return knowing(
      pinned,
      () => new Error("the relay's certificate has another key than the one that is pinned")
    )
  return trusted === undefined ? {} : knowing(trusted, checkServerIdentity)
}

/**
 * An `HttpClient` whose connections end with its scope. An answer that comes before all was sent is heard. Dies where
 * something is not in PEM.
 */
export const layer = (options: ConnectionOptions = {}): Layer.Layer<HttpClient.HttpClient> =>
  NodeHttpClient.layerUndiciWithoutDispatcher.pipe(
    Layer.provide(
      Layer.scoped(
        NodeHttpClient.Dispatcher,
        Effect.acquireRelease(
          Effect.sync(() => {
            const { ca, cert, key } = options
            return new Undici.Agent({
              connect: {
                ...(ca === undefined ? {} : { ca }),
                ...(cert === undefined ? {} : { cert }),
                ...(key === undefined ? {} : { key }),
                ...identity(options)
              }
            })
          }),
          (agent) => Effect.promise(() => agent.destroy())
        )
      )
    )
  )
