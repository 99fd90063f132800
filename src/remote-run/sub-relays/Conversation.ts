/** One call of a sub-relay: connected, asked once, and heard to the end. */
import type { IncomingMessage } from "node:http"
import { Duration, Effect, Schedule, type Scope } from "effect"
import { ask } from "../../peers/Exchange.ts"
import { type Peer, PeerClient } from "../../peers/PeerClient.ts"
import type { PeerUnreachable } from "../../peers/PeerUnreachable.ts"
import type { UpstreamFatal } from "../../RelayError.ts"
import type { RunId } from "../RunId.ts"
import {
  fatal,
  type HowMuch,
  hearEvents,
  hearText,
  isEvents,
  maxSilence,
  refusalOf,
  type StreamCut,
  within
} from "./Answer.ts"
import { askOfRun, type Resumed, resuming, takeUp } from "./Resumption.ts"

/** Connecting is tried three times: again after a quarter of a second, and after half a second more. */
const connecting = Schedule.exponential("250 millis", 2).pipe(Schedule.intersect(Schedule.recurs(2)))

/** For all three tries together. */
const connectWithin = Duration.seconds(10)

/** What a call is made with, and where what it hears goes. */
export interface Call extends Resumed {
  readonly form: string
  /** From now on the sub-relay may have the order. */
  readonly onSent: () => void
}

/** A connection that was not there in time, refused or broken off before anything was sent, is tried for again. */
const connect = (peer: Peer) =>
  Effect.flatMap(PeerClient, (client) => client.connect(peer)).pipe(
    Effect.retry({ schedule: connecting, while: (error: PeerUnreachable) => error.reason === "connection" }),
    Effect.timeoutFail({
      duration: connectWithin,
      onTimeout: () =>
        fatal({ message: `${peer.url.host}: no connection in ${Duration.format(connectWithin)}` })
    }),
    Effect.mapError(fatal)
  )

const runPath = "/rudder/relay-api/remote-run/nodes"

/**
 * The whole of a call. What was sent is never sent again: a stream of events that is cut is taken up again by the run's id.
 * Fails where the sub-relay did not say all there is to say.
 */
export const converse = (call: Call): Effect.Effect<HowMuch, UpstreamFatal, PeerClient> =>
  hearOut(call, order(call))

/** Hears a stream, and those that take its place. */
const hearOut = (
  call: Call,
  stream: Effect.Effect<IncomingMessage, StreamCut | UpstreamFatal, PeerClient | Scope.Scope>
): Effect.Effect<HowMuch, UpstreamFatal, PeerClient> =>
  Effect.flatMap(stream, (response) =>
    isEvents(response) ? hearEvents(response, call) : Effect.mapError(hearText(response, call), fatal)
  ).pipe(
    Effect.scoped,
    Effect.catchTag("StreamCut", (cut) => hearOut(call, takeUp(call, cut)))
  )

/** Sends the order, and gives the answer that it is taken. */
const order = ({ peer, form, onSent }: Call) =>
  Effect.gen(function* () {
    const connection = yield* connect(peer)
    onSent()
    const response = yield* ask(connection, {
      method: "POST",
      url: new URL(runPath, peer.url),
      headers: {
        accept: "application/x-ndjson",
        "content-type": "application/x-www-form-urlencoded",
        "content-length": Buffer.byteLength(form)
      },
      send: (request) => request.end(form)
    }).pipe(Effect.mapError(fatal), within(peer, maxSilence))
    return yield* accepted(response, peer)
  })

const accepted = (response: IncomingMessage, peer: Peer) => {
  const status = response.statusCode ?? 0
  return status >= 200 && status < 300
    ? Effect.succeed(response)
    : Effect.flatMap(refusalOf(response, peer), (message) => fatal({ message }))
}

/**
 * Ends a run of the sub-relay. The line may be the one that was just cut: it is tried until an answer comes, as for a
 * stream that is taken up again; for how long is for the caller to say.
 */
export const cancel = (peer: Peer, run: RunId): Effect.Effect<void, UpstreamFatal, PeerClient> =>
  askOfRun(peer, run, { method: "DELETE", rest: "" }).pipe(
    Effect.scoped,
    Effect.retry({ schedule: resuming, while: ({ _tag }) => _tag === "StreamCut" }),
    Effect.mapError(fatal),
    Effect.asVoid
  )
