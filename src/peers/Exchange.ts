/** One request to a peer and its answer. Every way in which an answer can end is a result here, and none takes for ever. */
import * as Http from "node:http"
import type * as Net from "node:net"
import { Deferred, Duration, Effect, FiberId, Schedule, type Scope } from "effect"
import * as Acquired from "../Acquired.ts"
import * as StreamReader from "../http/StreamReader.ts"
import { PeerUnreachable, text, unreachable } from "./PeerUnreachable.ts"

/** What a peer is asked. */
export interface PeerRequest {
  readonly method: "DELETE" | "GET" | "HEAD" | "POST" | "PUT"
  readonly url: URL
  /** With the query, in the place of the URL's: to take a URL apart and together again costs as much as to ask. */
  readonly path?: string | undefined
  readonly headers: Http.OutgoingHttpHeaders
  /** Sends the body, and ends the request. */
  readonly send: (request: Http.ClientRequest) => void
}

interface Exchange {
  readonly request: Http.ClientRequest
  readonly url: URL
  readonly answer: Deferred.Deferred<Http.IncomingMessage, PeerUnreachable>
  /** There is a head of an answer. */
  isAnswered: boolean
  /** How often the request got on. */
  steps: number
  /** Bytes of the connection that were read before. */
  read: number
}

const ignoreError = () => {}

/** Adds all listeners in one go: an event that comes before its listener is lost, and an "error" ends the process. */
const begin = (via: Net.Socket | Http.Agent, { method, url, path, headers, send }: PeerRequest): Exchange => {
  const request = Http.request({
    method,
    path: path ?? `${url.pathname}${url.search}`,
    headers: { host: url.host, ...headers },
    ...(via instanceof Http.Agent ? { agent: via } : { createConnection: () => via })
  })
  const answer = Deferred.unsafeMake<Http.IncomingMessage, PeerUnreachable>(FiberId.none)
  const exchange: Exchange = { request, url, answer, isAnswered: false, steps: 0, read: 0 }
  const step = () => {
    exchange.steps++
  }
  const failed = (error: PeerUnreachable) => Deferred.unsafeDone(answer, error)
  const broken = (message: string) =>
    failed(unreachable(request.reusedSocket ? "stale" : "broken", `${url.host}: ${message}`))
  request.on("error", ignoreError)
  request.once("error", (error) => (error instanceof PeerUnreachable ? failed(error) : broken(text(error))))
  request.once("close", () => {
    if (!exchange.isAnswered) broken("the connection was closed without an answer")
  })
  const otherProtocol = () =>
    failed(unreachable("broken", `${url.host}: answered 101, which is no answer to what was asked`))
  request.once("upgrade", (_, socket) => {
    socket.destroy()
    otherProtocol()
  })
  request.once("response", (response) => {
    // Whoever reads the response later sees from its state that it failed.
    response.on("error", ignoreError)
    exchange.isAnswered = true
    if (response.statusCode === 101) otherProtocol()
    else Deferred.unsafeDone(answer, Effect.succeed(response))
  })
  request.once("socket", (socket) => {
    step()
    exchange.read = socket.bytesRead
    // Node would wait for a "close" of the socket that has been already.
    if (socket.destroyed) request.destroy(new Error("the connection was closed"))
  })
  request.on("drain", step).once("finish", step)
  send(request)
  return exchange
}

const beginScoped = (via: Net.Socket | Http.Agent, request: PeerRequest) =>
  Acquired.acquire(
    () => begin(via, request),
    (exchange) => Effect.sync(() => exchange.request.destroy())
  )

/**
 * Asks, and succeeds with the answer's head as soon as that is there, be the request sent or not; redirects are not
 * followed. What is not over with the scope is cut off. How long that may take is for the caller to say.
 */
export const ask = (
  via: Net.Socket | Http.Agent,
  request: PeerRequest
): Effect.Effect<Http.IncomingMessage, PeerUnreachable, Scope.Scope> =>
  Effect.flatMap(beginScoped(via, request), ({ answer }) => Deferred.await(answer))

/** So often within its patience it is looked whether an exchange got on. */
const looks = 4

/** Fails when for that long no more of the request was taken, or, once all of it was, the answer was not read to its end. */
const silence = (exchange: Exchange, patience: Duration.Duration): Effect.Effect<never, PeerUnreachable> =>
  Effect.suspend(() => {
    const step = Duration.times(patience, 1 / looks)
    let seen = exchange.steps
    let still = 0
    const look = () => {
      still = exchange.steps === seen ? still + 1 : 0
      seen = exchange.steps
      return still
    }
    const watch = Effect.repeat(Effect.sync(look), {
      schedule: Schedule.spaced(step),
      until: (times) => times >= looks
    })
    // Most exchanges are over before the first look.
    return Effect.andThen(Effect.sleep(step), watch).pipe(
      Effect.flatMap(() => {
        const { request, url, read } = exchange
        const what = (request.socket?.bytesRead ?? read) > read ? "no whole answer" : "silent"
        return unreachable("silent", `${url.host}: ${what} for ${Duration.format(patience)}`)
      })
    )
  })

/** Whether the request is sent, or will never be. */
const isOver = ({ request }: Exchange): boolean => request.writableFinished || request.closed

/** Succeeds when the request is sent, or will never be. */
const sent = (exchange: Exchange) =>
  Effect.async<void>((resume) => {
    const { request } = exchange
    const over = () => resume(Effect.void)
    if (isOver(exchange)) return over()
    request.once("finish", over).once("close", over)
  })

/**
 * Asks, and makes of the answer what `use` does. An answer is one as soon as it is whole: what happens to the connection
 * behind it changes nothing. Where it came before all of the request was sent, the rest is still offered.
 *
 * @param patience so long the request may stand still, and so long its answer may take
 */
export const exchange = <A, E>(
  via: Net.Socket | Http.Agent,
  request: PeerRequest,
  patience: Duration.Duration,
  use: (response: Http.IncomingMessage) => Effect.Effect<A, E>
): Effect.Effect<A, E | PeerUnreachable> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      const begun = begin(via, request)
      return Effect.ensuring(
        restore(conduct(begun, patience, use)),
        Effect.sync(() => begun.request.destroy())
      )
    })
  )

const conduct = <A, E>(
  begun: Exchange,
  patience: Duration.Duration,
  use: (response: Http.IncomingMessage) => Effect.Effect<A, E>
) =>
  Effect.gen(function* () {
    const result = yield* watched(begun, patience, (silent) =>
      Effect.flatMap(Deferred.await(begun.answer), (response) =>
        // What came whole is not waited for.
        response.complete ? use(response) : Effect.raceFirst(use(response), Deferred.await(silent))
      )
    )
    if (!isOver(begun)) yield* Effect.ignore(Effect.raceFirst(sent(begun), silence(begun, patience)))
    return result
  })

/** One fiber sees whether the exchange falls silent: a race would take two more, and those are most of what asking costs. */
const watched = <A, E>(
  begun: Exchange,
  patience: Duration.Duration,
  talk: (silent: Deferred.Deferred<never, PeerUnreachable>) => Effect.Effect<A, E>
) =>
  Effect.suspend(() => {
    const silent = Deferred.unsafeMake<never, PeerUnreachable>(FiberId.none)
    const tell = (error: PeerUnreachable) =>
      Effect.sync(() => {
        Deferred.unsafeDone(begun.answer, error)
        Deferred.unsafeDone(silent, error)
      })
    const watch = Effect.fork(Effect.catchAll(silence(begun, patience), tell))
    return Effect.flatMap(watch, (fiber) =>
      Effect.ensuring(
        talk(silent),
        Effect.sync(() => fiber.unsafeInterruptAsFork(FiberId.none))
      )
    )
  })

/** What was read of an answer's body. */
export interface Heard {
  readonly text: string
  /** It was read to its end, or as much of it as was wanted. */
  readonly whole: boolean
}

/**
 * The beginning of an answer's body: never more than `maxLength` bytes, and what came `within` a time. Never fails: of
 * what breaks off it has what was there.
 */
export const hear = (
  message: Http.IncomingMessage,
  { maxLength, within }: { readonly maxLength: number; readonly within: Duration.Duration }
): Effect.Effect<Heard> =>
  Effect.suspend(() => {
    if (isHere(message)) return taken(message, maxLength)
    const parts: Array<Buffer> = []
    return reading(message, maxLength, within, parts).pipe(
      Effect.map((whole) => ({ text: Buffer.concat(parts).toString("utf8"), whole }))
    )
  })

/** Whether all of it came already, and nobody has begun to read it. */
const isHere = (message: Http.IncomingMessage): boolean =>
  message.complete && message.readableFlowing === null && !message.destroyed && !message.readableEnded

/** The beginning of what is here whole. It is over with its "end": then the connection can be used again. */
const taken = (message: Http.IncomingMessage, maxLength: number) =>
  Effect.async<Heard>((resume) => {
    let text = ""
    const over = () => resume(Effect.succeed({ text, whole: true }))
    message.once("end", over).once("close", over)
    const bytes: unknown = message.read()
    if (bytes instanceof Buffer) text = bytes.toString("utf8", 0, maxLength)
    return Effect.sync(() => message.off("end", over).off("close", over))
  })

/** Reads that much of it into `parts`, as long as that may take; gives whether all of that was there. */
const reading = (
  message: Http.IncomingMessage,
  maxLength: number,
  within: Duration.Duration,
  parts: Array<Buffer>
) =>
  Effect.gen(function* () {
    const reader = yield* StreamReader.open(message, undefined)
    const read = Effect.gen(function* () {
      for (let left = maxLength; left > 0; ) {
        const bytes = yield* reader.next
        if (bytes === undefined) return message.complete
        parts.push(bytes.subarray(0, left))
        left -= bytes.length
      }
      return true
    }).pipe(
      // All that came was read before. Node may have had the whole answer all the same, when the connection was lost behind it.
      Effect.catchAll(() => Effect.sync(() => message.complete))
    )
    // Of a short answer nothing is waited for, as a rule.
    if (yield* reader.isWhole) return yield* read
    return yield* Effect.timeoutTo(read, {
      duration: within,
      onSuccess: (whole) => whole,
      onTimeout: () => false
    })
  }).pipe(Effect.scoped)
