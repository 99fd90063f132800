/** The certificate that this relay shows to its callers, in PEM: what stands in its file may have been replaced since. */
import { Context, Layer, Option, Ref } from "effect"

/** None: no listener of the relay's own has taken one. */
export class OwnCertificate extends Context.Tag("rudder-relay/OwnCertificate")<
  OwnCertificate,
  Ref.Ref<Option.Option<string>>
>() {
  static readonly layer = Layer.effect(OwnCertificate, Ref.make<Option.Option<string>>(Option.none()))
}
