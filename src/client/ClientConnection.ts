/** Connections to a relay: over HTTP, or over TLS with certificates of the program's own. */
import type { HttpClient } from "@effect/platform"
import { NodeHttpClient, Undici } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { identity } from "./RelayIdentity.ts"

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
