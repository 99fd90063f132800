/** The certificates of nodes: several for one node allowed; the subject's UID is the node's id. */
import type { X509Certificate } from "node:crypto"
import { Context, Effect, Layer, Schema } from "effect"

/** The file of the certificates could not be read; what was known before stays in force. */
export class CertificatesUnreadable extends Schema.TaggedError<CertificatesUnreadable>()(
  "CertificatesUnreadable",
  {
    /** Names the file, and says what is wrong with it. */
    message: Schema.String
  }
) {}

/** Knows the certificates of the nodes below this relay. */
export interface CertificatesService {
  /** None where the file has none for this node. */
  readonly forNode: (id: string) => Effect.Effect<ReadonlyArray<X509Certificate>>
  /** When each of them ends: milliseconds since 1970, in any order. Absent: that is not known. */
  readonly ends?: Effect.Effect<Float64Array>
  /** Reads the file again now; what was known stays in force when it can't be read. */
  readonly reload: Effect.Effect<void, CertificatesUnreadable>
}

/** The certificates that sub-relays are recognised by, and signatures are checked with; `WatchedCertificates.layer` has them from a file. */
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
