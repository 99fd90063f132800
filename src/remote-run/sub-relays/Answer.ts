/** A sub-relay's answer, as it is heard: events, or what an older relay prints, or that it says no. */
import type { IncomingMessage } from "node:http"
import { Data, Duration, Effect } from "effect"
import { hear } from "../../peers/Exchange.ts"
import type { Peer } from "../../peers/PeerClient.ts"
import { UpstreamFatal } from "../../RelayError.ts"
import { LineCutter } from "./LineCutter.ts"
import type { RunMerge } from "./RunMerge.ts"
import type { SubRelayOutput } from "./SubRelays.ts"

/** A relay that has nothing to tell says so every 15 s. */
export const maxSilence = Duration.seconds(60)
/** An event that has begun comes to its end in this time, also over a slow line. */
const maxEventTime = Duration.minutes(5)
/** An event's longest part are the 64 KiB of stderr, or of a line, six times as long where each byte is escaped; or the ids of a form. */
const maxEventLength = 4 * 1024 * 1024
/** Of an answer that says no. */
const refusal = { maxLength: 200, within: Duration.seconds(5) }

/** Where what is heard goes. */
export interface Listener {
  readonly peer: Peer
  readonly merge: RunMerge
  readonly output: () => SubRelayOutput
  /** Opened when more of the answer can be taken, after it could not. */
  readonly room: Effect.Latch
  /** So long an agent may be silent, and an older relay with it. */
  readonly longestAgent: Duration.Duration
}

/** How much a call that came to its end has said: `unreported` is an older relay's, which says nothing of single nodes. */
export type HowMuch = "reported" | "unreported"

/** The line to a sub-relay does not carry any more, or not yet. What was to be said there may be said later. */
export class StreamCut extends Data.TaggedError("StreamCut")<{ readonly message: string }> {}

/** That there will be no more, for the reason of another error. */
export const fatal = ({ message }: { readonly message: string }) => new UpstreamFatal({ message })
/** That the line does not carry, for the reason of another error. */
export const streamCut = ({ message }: { readonly message: string }) => new StreamCut({ message })

/** Cuts what takes longer. */
export const within =
  ({ url }: Peer, duration: Duration.Duration, what = "silent") =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.timeoutFail(effect, {
      duration,
      onTimeout: () => streamCut({ message: `${url.host}: ${what} for ${Duration.format(duration)}` })
    })

/** What an answer says that is none in the 200s. */
export const refusalOf = (response: IncomingMessage, { url }: Peer): Effect.Effect<string> =>
  Effect.map(hear(response, refusal), ({ text }) => {
    const says = text.replace(/[\s\p{Cc}]+/gu, " ").trim()
    return `${url.host}: answered ${response.statusCode}${says === "" ? "" : `: ${says}`}`
  })

/** Whether an answer is one of events. */
export const isEvents = (response: IncomingMessage): boolean =>
  /^application\/x-ndjson\b/i.test(response.headers["content-type"] ?? "")

/** The next bytes; undefined at the end of the answer. */
const nextBytes = (response: IncomingMessage, { url }: Peer) =>
  Effect.async<Buffer | undefined, StreamCut>((resume) => {
    const look = () => {
      const bytes: unknown = response.read()
      if (bytes instanceof Buffer) resume(Effect.succeed(bytes))
      else if (response.readableEnded) resume(Effect.succeed(undefined))
      else if (response.destroyed) resume(streamCut({ message: `${url.host}: the answer was cut short` }))
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
        return yield* streamCut({ message: `${peer.url.host}: the answer ended too early` })
      const lines = cutter.push(bytes)
      if (lines === undefined)
        return yield* fatal({ message: `${peer.url.host}: the answer has a line that is no event` })
      if (lines.length > 0) return lines
    }
  }).pipe(within(peer, maxEventTime, "no whole event"))

/** Hears events until the sub-relay's run is over. An event that is cut with the stream was not heard. */
export const hearEvents = (
  response: IncomingMessage,
  { peer, merge, room }: Listener
): Effect.Effect<HowMuch, StreamCut | UpstreamFatal> =>
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
export const hearText = (
  response: IncomingMessage,
  { peer, output, room, longestAgent }: Listener
): Effect.Effect<HowMuch, StreamCut> =>
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
