/** A run as a person says it: by its id, or by the beginning of that. */
import { Effect } from "effect"
import { RelayClient } from "../client/RelayClient.ts"
import * as RunId from "../remote-run/RunId.ts"
import { exitCode, StartError, wrongCall } from "./StartError.ts"

/** The largest id: what is left of it behind a beginning makes an id that comes behind all with this beginning. */
const largest = "ffffffff-ffff-7fff-bfff-ffffffffffff"

/** Shorter beginnings are nobody's run in particular. */
const shortest = 4

/** The id of a run that is said by its beginning. */
export const find = (given: string) =>
  Effect.gen(function* () {
    const beginning = given.toLowerCase()
    if (RunId.isRunId(beginning)) return beginning
    const before = beginning + largest.slice(beginning.length)
    if (beginning.length < shortest || !RunId.isRunId(before))
      return yield* wrongCall(
        `RUN is a run's id, or at least ${shortest} characters of its beginning, not ${JSON.stringify(given.slice(0, 100))}`
      )
    const { routes } = yield* RelayClient
    const page = yield* routes.remoteRun.runs({ urlParams: { limit: "3", before } })
    const found = page.runs.map(({ id }) => id).filter((id) => id.startsWith(beginning))
    const [only, ...others] = found
    if (only === undefined)
      return yield* new StartError({
        code: exitCode.relay,
        message: `rudder-relay: no run's id begins with ${given}; rudder-relay runs list shows them`
      })
    if (others.length > 0)
      return yield* wrongCall(
        `the ids of several runs begin with ${given}: ${found.join(", ")}${found.length === 3 ? ", …" : ""}`
      )
    return only
  })
