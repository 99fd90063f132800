/** `rudder-relay runs retry`: the rest of a run, run again. */
import { randomUUID } from "node:crypto"
import { Effect, Option, Schema } from "effect"
import { RelayClient } from "../client/RelayClient.ts"
import type { RestOf, RunRequest } from "../client/RunRequest.ts"
import { RestReason } from "../remote-run/RunRest.ts"
import { asking } from "./Asking.ts"
import type { ClientOptions } from "./ClientOptions.ts"
import * as Interrupts from "./Interrupts.ts"
import * as Listing from "./Listing.ts"
import * as Run from "./Run.ts"
import * as RunName from "./RunName.ts"
import * as RunOrder from "./run/RunOrder.ts"
import { type StartError, wrongCall } from "./StartError.ts"

/** What it is told. Classes and output are those of the run. */
export interface RetryOptions extends ClientOptions, Omit<RunOrder.OrderOptions, "classes" | "output"> {
  readonly run: string
  readonly only: Option.Option<string>
  readonly view: Option.Option<Run.View>
  readonly diff: boolean
  readonly async: boolean
}

const decodeReasons = Schema.decodeUnknownEither(Schema.Array(RestReason))

/** The reasons of a comma list. */
const reasons = (text: string): Effect.Effect<ReadonlyArray<RestReason>, StartError> =>
  Effect.mapError(decodeReasons(text.split(",").map((one) => one.trim())), () =>
    wrongCall(
      `--only is a comma list of ${RestReason.literals.join(", ")}, not ${JSON.stringify(text.slice(0, 100))}`
    )
  )

/** Runs those nodes of a run again that are not ok. */
export const retry = (given: RetryOptions) =>
  asking(
    given,
    Effect.gen(function* () {
      const view = yield* Run.viewOf(given)
      yield* Run.leavable(given)
      const only = yield* Effect.transposeMapOption(given.only, reasons)
      const { output: _, ...order } = yield* RunOrder.make({
        ...given,
        classes: Option.none(),
        output: "keep"
      })
      const client = yield* RelayClient
      const restOf = yield* RunName.find(given.run)
      const nodes: RestOf = Option.match(only, {
        onNone: () => ({ restOf }),
        onSome: (reasons) => ({ restOf, only: reasons })
      })
      // A start that may have been heard or not is asked for again, and starts no second run.
      const request: RunRequest = { ...order, nodes, idempotencyKey: randomUUID() }
      const rest = yield* client.preview(request)
      const nothing = Listing.printLines([`no node of run ${restOf} is to be run again`])
      if (rest.nodes.length === 0) return yield* nothing
      if (given.async)
        return yield* client.start(request).pipe(
          Effect.flatMap(({ id }) => Listing.printLines([id])),
          // Somebody else has run them meanwhile.
          Effect.catchTag("NothingLeft", () => nothing)
        )
      const interrupts = yield* Interrupts.taken
      const hostnames = new Map(rest.nodes.map(({ hostname, node }) => [node, hostname]))
      yield* Run.attended(client, { ...given, view }, client.runLines(request), { hostnames, interrupts })
    }).pipe(Effect.scoped)
  )
