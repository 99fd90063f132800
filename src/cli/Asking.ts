/** A command that asks a relay, from its options to what it ends with. */
import { Effect } from "effect"
import type { RelayClient } from "../client/RelayClient.ts"
import * as AskedRelay from "./AskedRelay.ts"
import type { ClientOptions } from "./ClientOptions.ts"
import { endOnHangup } from "./FirstMoment.ts"
import * as RelayProblem from "./RelayProblem.ts"
import { StartError } from "./StartError.ts"

/** Does what a command does with the client of the relay that its options name. What the relay refuses ends it with code 4. */
export const asking = <A, E extends RelayProblem.RelayFailure | StartError, R>(
  options: ClientOptions,
  command: Effect.Effect<A, E, R>
): Effect.Effect<A, StartError, Exclude<R, RelayClient>> =>
  Effect.gen(function* () {
    yield* Effect.sync(endOnHangup)
    const url = yield* AskedRelay.urlOf(options)
    const ended = RelayProblem.of(url)
    return yield* command.pipe(
      Effect.mapError((error: RelayProblem.RelayFailure | StartError) =>
        error instanceof StartError ? error : ended(error)
      ),
      Effect.provide(AskedRelay.layer(options))
    )
  })
