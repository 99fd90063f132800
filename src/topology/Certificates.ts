/** The certificates of nodes: several for one node allowed; the subject's UID is the node's id. */
import type { X509Certificate } from "node:crypto"
import { Context, Effect, Layer } from "effect"

export interface CertificatesService {
  /** None where the file has none for this node. */
  readonly forNode: (id: string) => Effect.Effect<ReadonlyArray<X509Certificate>>
  /** Reads the file again now; what was there stays in force when it can't be read. Gives what is wrong. */
  readonly reload: Effect.Effect<void, string>
}

export class Certificates extends Context.Tag("rudder-relay/Certificates")<
  Certificates,
  CertificatesService
>() {
  /** Knows no certificate. */
  static readonly none = Layer.succeed(Certificates, {
    forNode: () => Effect.succeed([]),
    reload: Effect.void
  })
}
