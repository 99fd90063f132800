/** Connections to a relay: over HTTP, or over TLS with certificates of the program's own. */
import { X509Certificate } from "node:crypto"
import type { HttpClient } from "@effect/platform"
import { NodeHttpClient, Undici } from "@effect/platform-node"
import { Effect, Layer } from "effect"

/** How a relay is connected to over TLS. Each is text in PEM. */
export interface ConnectionOptions {
  /** Authorities by which the relay's certificate is trusted, in the place of the public ones. Its name is compared. */
  readonly ca?: string
  /** The relay's own certificate, or several: it is known by its key, and names, which Rudder's have none of, are not compared. */
  readonly pinned?: string
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

/** Node has looked before whether the certificate itself, or who has signed it, is one of those that are pinned. */
const pinning = (pem: string) => {
  const keys = certificatesOf(pem).map(({ publicKey }) => publicKey)
  return {
    ca: pem,
    checkServerIdentity: (_: string, { raw }: { readonly raw: Buffer }) =>
      keys.some((key) => key.equals(new X509Certificate(raw).publicKey))
        ? undefined
        : new Error("the relay's certificate has another key than the one that is pinned")
  }
}

/**
 * An `HttpClient` whose connections end with its scope. An answer that comes before all was sent is heard. Dies where
 * something is not in PEM.
 */
export const layer = ({ pinned, ...others }: ConnectionOptions = {}): Layer.Layer<HttpClient.HttpClient> =>
  NodeHttpClient.layerUndiciWithoutDispatcher.pipe(
    Layer.provide(
      Layer.scoped(
        NodeHttpClient.Dispatcher,
        Effect.acquireRelease(
          Effect.sync(
            () =>
              new Undici.Agent({ connect: { ...others, ...(pinned === undefined ? {} : pinning(pinned)) } })
          ),
          (agent) => Effect.promise(() => agent.destroy())
        )
      )
    )
  )
