/** The nodes that a run is for, and which of them a person means. */
import { Effect, Option, Stream } from "effect"
import { RelayClient, type RelayClientService } from "../client/RelayClient.ts"
import * as NodeNames from "./NodeNames.ts"
import type { RelayFailure } from "./RelayProblem.ts"
import { wrongCall } from "./StartError.ts"

/** Their ids, as the run's first event has them. */
export const all = (
  client: RelayClientService,
  run: string
): Effect.Effect<ReadonlyArray<string>, RelayFailure> =>
  client.follow(run).pipe(
    Stream.filterMap((event) => (event.event === "run" ? Option.some(event.nodes) : Option.none())),
    Stream.runHead,
    Effect.map(Option.getOrElse((): ReadonlyArray<string> => []))
  )

/** The nodes of a host name, as far as the relay tells its nodes. */
const called = (name: string) =>
  NodeNames.named(name).pipe(
    Effect.map((found) => found.map(({ node }) => node)),
    Effect.catchTag("AccessDenied", () => Effect.succeed<ReadonlyArray<string>>([]))
  )

/** The ids of those that a comma list names by id or host name. Fails with code 2 where a name means none of the run's. */
export const named = (run: string, text: string) =>
  Effect.gen(function* () {
    const names = text
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== "")
    if (names.length === 0)
      return yield* wrongCall("--node: expected ids or host names of nodes, with commas between")
    const ofRun = new Set(yield* all(yield* RelayClient, run))
    const meant = (name: string) =>
      ofRun.has(name)
        ? Effect.succeed([name])
        : Effect.map(called(name), (found) => found.filter((node) => ofRun.has(node)))
    const found = yield* Effect.forEach(names, meant)
    const unknown = names.filter((_, at) => found[at]?.length === 0)
    if (unknown.length > 0)
      return yield* wrongCall(
        `run ${run} is for no node with the id or host name ${unknown.slice(0, 10).join(", ")}; rudder-relay runs show ${run} has its nodes`
      )
    return [...new Set(found.flat())]
  })
