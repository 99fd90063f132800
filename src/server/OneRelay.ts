/**
 * That a relay's services and what serves them belong together. A Layer is built once in a program, however often it is
 * named: of two relays there the second would get the services of the first, and run its nodes.
 */
import { Context, Effect, Layer } from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import type { Settings } from "../config/Settings.ts"

const mixed =
  "Relay.services were made for another relay, with other settings; of several relays in one program each is to be in a Layer.fresh of its own"

/** The settings with which the services were made. */
export class OneRelay extends Context.Tag("rudder-relay/OneRelay")<OneRelay, Settings>() {
  static readonly layer = Layer.effect(OneRelay, RelayConfig)

  /** Dies where the settings here are another relay's: that is a fault of the program, and nothing to go on with. */
  static readonly check: Effect.Effect<void, never, OneRelay | RelayConfig> = Effect.gen(function* () {
    if ((yield* OneRelay) !== (yield* RelayConfig)) return yield* Effect.dieMessage(mixed)
  })
}
