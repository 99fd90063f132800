/** A stream of events that was cut, taken up again where it was. */
import type { IncomingMessage } from "node:http"
import { Clock, Duration, Effect, ExecutionStrategy, Exit, Option, Schedule, Scope } from "effect"
import { ask } from "../../peers/Exchange.ts"
import { type Peer, PeerClient } from "../../peers/PeerClient.ts"
import { isRefusal } from "../../peers/RefusalStatus.ts"
import type { UpstreamFatal } from "../../RelayError.ts"
import type { RunId } from "../RunId.ts"
import { fatal, isEvents, type Listener, refusalOf, type StreamCut, streamCut, within } from "./Answer.ts"

/** Tried again after a quarter of a second, after twice that, and so on, but at least every 5 s, without end. */
export const resuming = Schedule.exponential("250 millis", 2).pipe(
  Schedule.union(Schedule.spaced("5 seconds"))
)

/** A relay has the head of this answer ready at once, or has to complete the run's journal first. */
const headWithin = Duration.seconds(10)

/** For how long the stream of one call is down already. */
export interface Outage {
  /** Since when, in milliseconds since 1970. */
  since: number
  /** How much was new before it. */
  news: number
  /** Before each try; the first is made at once. */
  pause: Effect.Effect<void>
}

/** That of a stream that was not cut yet. */
export const noOutage = (): Outage => ({ since: 0, news: 0, pause: Effect.void })

const pauses = Effect.map(Schedule.driver(resuming), (driver) => {
  let isFirst = true
  return Effect.suspend(() => {
    // The schedule has no end.
    const pause = isFirst ? Effect.void : Effect.ignore(driver.next(undefined))
    isFirst = false
    return pause
  })
})

/** What a stream is taken up again with. */
export interface Resumed extends Listener {
  /** So long it is tried, from the cut on; nothing: not at all. */
  readonly reconnect: Duration.Duration
  /** The last one. It goes on where nothing new has come since. */
  readonly outage: Outage
}

/** What is left of the time for which it is tried. A stream that said nothing new before it was cut again ends no outage. */
const timeLeft = ({ merge, outage, reconnect }: Resumed, cut: StreamCut) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    if (merge.news > outage.news) {
      outage.since = now
      outage.news = merge.news
      outage.pause = yield* pauses
      yield* Effect.logInfo("a stream from a sub-relay was cut").pipe(
        Effect.annotateLogs({ problem: cut.message, events: merge.events })
      )
    }
    return Duration.subtract(reconnect, Duration.millis(now - outage.since))
  })

/**
 * The stream of what follows the events that came, once there is one. `UpstreamFatal`: there was none in time, the
 * sub-relay has no such run, or it was never said which run it is.
 */
export const takeUp = (
  resumed: Resumed,
  cut: StreamCut
): Effect.Effect<IncomingMessage, UpstreamFatal, PeerClient | Scope.Scope> =>
  Effect.gen(function* () {
    const { merge, reconnect } = resumed
    const { run } = merge
    const left = yield* timeLeft(resumed, cut)
    if (run === undefined || Duration.lessThanOrEqualTo(left, Duration.zero)) return yield* fatal(cut)
    let last = Option.none<string>()
    const because = () => Option.match(last, { onNone: () => "", onSome: (message) => `: ${message}` })
    const response = yield* tryOnce(resumed, run).pipe(
      Effect.tapErrorTag("StreamCut", ({ message }) =>
        Effect.sync(() => {
          last = Option.some(message)
        })
      ),
      Effect.retry({ while: ({ _tag }) => _tag === "StreamCut" }),
      Effect.mapError(({ message }) => fatal({ message: `${cut.message}, and is gone: ${message}` })),
      Effect.timeoutFail({
        duration: left,
        onTimeout: () =>
          fatal({
            message: `${cut.message}, and could not be taken up again in ${Duration.format(reconnect)}${because()}`
          })
      })
    )
    yield* Effect.logInfo("a stream from a sub-relay is taken up again").pipe(
      Effect.annotateLogs({ events: merge.events })
    )
    merge.takeUp()
    return response
  })

/** A try that fails leaves no connection behind. */
const tryOnce = (resumed: Resumed, run: RunId) =>
  Effect.gen(function* () {
    const own = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
    yield* resumed.outage.pause
    return yield* askAgain(resumed, run).pipe(
      Scope.extend(own),
      Effect.onError(() => Scope.close(own, Exit.void))
    )
  })

const askAgain = ({ peer, merge }: Resumed, run: RunId) =>
  Effect.flatMap(
    askOfRun(peer, run, { method: "GET", rest: `/output?format=ndjson&from=${merge.events}` }),
    (response) =>
      isEvents(response)
        ? Effect.succeed(response)
        : Effect.flatMap(refusalOf(response, peer), (message) => fatal({ message }))
  )

/** Asks about a run once. `StreamCut`: another try may have another answer; `UpstreamFatal`: none will. */
export const askOfRun = (
  peer: Peer,
  run: RunId,
  { method, rest }: { readonly method: "DELETE" | "GET"; readonly rest: string }
) =>
  Effect.gen(function* () {
    const connection = yield* Effect.flatMap(PeerClient, (client) => client.connect(peer))
    const response = yield* ask(connection, {
      method,
      url: new URL(`/rudder/relay-api/remote-run/runs/${run}${rest}`, peer.url),
      headers: { accept: "application/x-ndjson" },
      send: (request) => request.end()
    })
    const status = response.statusCode ?? 0
    if (status >= 200 && status < 300) return response
    const message = yield* refusalOf(response, peer)
    return yield* status >= 300 && !isRefusal(status) ? streamCut({ message }) : fatal({ message })
  }).pipe(Effect.catchTag("PeerUnreachable", streamCut), within(peer, headWithin))
