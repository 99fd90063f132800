/** One call of a sub-relay: connected, asked once, and heard to the end. */
import type { IncomingMessage } from "node:http"
import { Duration, Effect, Schedule, type Scope } from "effect"
import { ask, hear } from "../../peers/Exchange.ts"
import { type Peer, PeerClient } from "../../peers/PeerClient.ts"
import type { PeerUnreachable } from "../../peers/PeerUnreachable.ts"
import { UpstreamFatal } from "../../RelayError.ts"
import { LineCutter } from "./LineCutter.ts"
import type { RunMerge } from "./RunMerge.ts"
import type { SubRelayOutput } from "./SubRelays.ts"

/** Connecting is tried three times: again after a quarter of a second, and after half a second more. */
export const connecting = Schedule.exponential("250 millis", 2).pipe(Schedule.intersect(Schedule.recurs(2)))

/** For all three tries together. */
const connectWithin = Duration.seconds(10)
/** A relay that has nothing to tell says so every 15 s. */
const maxSilence = Duration.seconds(60)
/** An event that has begun comes to its end in this time, also over a slow line. */
const maxEventTime = Duration.minutes(5)
/** An event's longest part are the 64 KiB of stderr, or of a line, six times as long where each byte is escaped; or the ids of a form. */
const maxEventLength = 4 * 1024 * 1024
/** Of an answer that says no. */
const refusal = { maxLength: 200, within: Duration.seconds(5) }

/** What a call is made with, and where what it hears goes. */
export interface Call {
  readonly peer: Peer
  readonly form: string
  readonly merge: RunMerge
  readonly output: () => SubRelayOutput
  /** Opened when more of the answer can be taken, after it could not. */
  readonly room: Effect.Latch
  /** From now on the sub-relay may have the order. */
  readonly onSent: () => void
  /** So long an agent may be silent, and an older relay with it. */
  readonly longestAgent: Duration.Duration
}

/** How much a call that came to its end has said: `unreported` is an older relay's, which says nothing of single nodes. */
export type HowMuch = "reported" | "unreported"

const fatal = ({ message }: { readonly message: string }) => new UpstreamFatal({ message })

/** A connection that was not there in time, refused or broken off before anything was sent, is tried for again. */
export const connect = (peer: Peer) =>
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

/** The whole of a call. Fails where the sub-relay did not say all there is to say. */
export const converse = (call: Call): Effect.Effect<HowMuch, UpstreamFatal, PeerClient | Scope.Scope> =>
  Effect.gen(function* () {
    const { peer, form, onSent } = call
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
    const status = response.statusCode ?? 0
    if (status < 200 || status >= 300) return yield* refused(response, peer)
    return /^application\/x-ndjson\b/i.test(response.headers["content-type"] ?? "")
      ? yield* hearEvents(response, call)
      : yield* hearText(response, call)
  })

const within =
  ({ url }: Peer, duration: Duration.Duration, what = "silent") =>
  <A, R>(effect: Effect.Effect<A, UpstreamFatal, R>) =>
    Effect.timeoutFail(effect, {
      duration,
      onTimeout: () => fatal({ message: `${url.host}: ${what} for ${Duration.format(duration)}` })
    })

const refused = (response: IncomingMessage, peer: Peer) =>
  Effect.gen(function* () {
    const { text } = yield* hear(response, refusal)
    const says = text.replace(/[\s\p{Cc}]+/gu, " ").trim()
    return yield* fatal({
      message: `${peer.url.host}: answered ${response.statusCode}${says === "" ? "" : `: ${says}`}`
    })
  })

/** The next bytes; undefined at the end of the answer. */
const nextBytes = (response: IncomingMessage, { url }: Peer) =>
  Effect.async<Buffer | undefined, UpstreamFatal>((resume) => {
    const look = () => {
      const bytes: unknown = response.read()
      if (bytes instanceof Buffer) resume(Effect.succeed(bytes))
      else if (response.readableEnded) resume(Effect.succeed(undefined))
      else if (response.destroyed) resume(fatal({ message: `${url.host}: the answer was cut short` }))
      else return
      stop()
    }
    const stop = () => response.off("readable", look).off("end", look).off("close", look)
    response.on("readable", look).on("end", look).on("close", look)
    look()
    return Effect.sync(stop)
  })

/** The next lines that are complete. */
const nextLines = (response: IncomingMessage, peer: Peer, cutter: LineCutter) =>
  Effect.gen(function* () {
    while (true) {
      const bytes = yield* within(peer, maxSilence)(nextBytes(response, peer))
      if (bytes === undefined)
        return yield* fatal({ message: `${peer.url.host}: the answer ended too early` })
      const lines = cutter.push(bytes)
      if (lines === undefined)
        return yield* fatal({ message: `${peer.url.host}: the answer has a line that is no event` })
      if (lines.length > 0) return lines
    }
  }).pipe(within(peer, maxEventTime, "no whole event"))

const hearEvents = (response: IncomingMessage, { peer, merge, room }: Call) =>
  Effect.gen(function* () {
    const cutter = new LineCutter(maxEventLength)
    while (!merge.done) {
      const lines = yield* nextLines(response, peer, cutter)
      // First, since room may be made before `take` returns.
      room.unsafeClose()
      if (!merge.take(lines)) yield* room.await
    }
    return "reported" as const
  })

/** An older relay prints what its agents print, as they print it: it may be silent for as long as they are. */
const hearText = (response: IncomingMessage, { peer, output, room, longestAgent }: Call) =>
  Effect.acquireUseRelease(
    Effect.sync(output),
    (lines) =>
      Effect.gen(function* () {
        const resume = () => room.unsafeOpen()
        while (true) {
          const bytes = yield* within(peer, longestAgent)(nextBytes(response, peer))
          if (bytes === undefined) return "unreported" as const
          room.unsafeClose()
          if (!lines.write("stdout", bytes, resume)) yield* room.await
        }
      }),
    (lines) => Effect.sync(lines.over)
  )

/** Ends a run of the sub-relay. */
export const cancel = (peer: Peer, run: string) =>
  Effect.gen(function* () {
    const client = yield* PeerClient
    const connection = yield* Effect.mapError(client.connect(peer), fatal)
    const response = yield* ask(connection, {
      method: "DELETE",
      url: new URL(`/rudder/relay-api/remote-run/runs/${run}`, peer.url),
      headers: {},
      send: (request) => request.end()
    }).pipe(Effect.mapError(fatal))
    const status = response.statusCode ?? 0
    if (status < 200 || status >= 300) return yield* refused(response, peer)
  }).pipe(Effect.scoped)
