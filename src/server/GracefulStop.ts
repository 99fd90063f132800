/** How the daemon stops: what has been begun is finished, within the grace. */
import { Duration, Effect, type Scope } from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import * as Race from "../Race.ts"
import { RemoteRun } from "../remote-run/RemoteRun.ts"
import { RelayServer } from "./RelayServer.ts"

/** So much of the grace is kept to cut off what did not end in it, and to exit. */
const margin = (grace: Duration.Duration): Duration.Duration =>
  Duration.min(Duration.times(grace, 0.2), Duration.millis(500))
/** Answers whose runs were cancelled have this long to say so. */
const lastWords = Duration.millis(200)

/**
 * When the scope ends: no new connections and no new agents; answers and agents have the grace to finish; agents still
 * running then are ended, and what is left of the connections is closed. Registered after everything that answers, it
 * runs before any of that is torn down.
 */
export const atEnd: Effect.Effect<void, never, RelayConfig | RelayServer | RemoteRun | Scope.Scope> =
  Effect.gen(function* () {
    const { general } = yield* RelayConfig
    const server = yield* RelayServer
    const remoteRun = yield* RemoteRun
    const grace = Duration.subtract(general.shutdownGrace, margin(general.shutdownGrace))
    const stop = Effect.gen(function* () {
      yield* Effect.logInfo("stopping")
      yield* server.stopAccepting
      const finished = Effect.all([remoteRun.drain, server.answered], { concurrency: 2, discard: true })
      const inTime = yield* Race.atMost(finished, grace)
      if (inTime._tag === "None") {
        yield* Effect.logWarning(
          "general.shutdown_grace is over: what still goes on is cut off, and agents are ended"
        )
        const cutOff = Effect.all([remoteRun.cancelAll, server.answered], { concurrency: 2, discard: true })
        yield* Race.atMost(cutOff, lastWords)
      }
      yield* server.close
    })
    // The fiber that ends the scope may have been interrupted, and may be again.
    yield* Effect.addFinalizer(() => stop)
  })
