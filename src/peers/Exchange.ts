/** One request to a peer and its answer. Every way in which an answer can end is a result here, and none takes for ever. */
import * as Http from "node:http"
import type * as Net from "node:net"
import { Duration, Effect, Exit, type Scope } from "effect"
import * as Acquired from "../Acquired.ts"
import * as AtOnce from "../AtOnce.ts"
import * as StreamReader from "../http/StreamReader.ts"
import * as Outcome from "../Outcome.ts"
import * as Race from "../Race.ts"
import { PeerUnreachable, text, unreachable } from "./PeerUnreachable.ts"
import type { SilenceWatch, Watched } from "./SilenceWatch.ts"

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

interface Exchange extends Watched {
  readonly request: Http.ClientRequest
  readonly url: URL
  /** What came of it: its first answer, or why there is none. */
  readonly answer: Outcome.Outcome<Http.IncomingMessage, PeerUnreachable>
  /** Fails when it falls silent, or has: that may be while nobody waits for it. */
  readonly silence: Outcome.Outcome<never, PeerUnreachable>
  /** There is a head of an answer. */
  isAnswered: boolean
  steps: number
  /** Bytes of the connection that were read before. */
  read: number
}

const fellSilent = (exchange: Exchange, patience: Duration.Duration): void => {
  const { request, url, read } = exchange
  const what = (request.socket?.bytesRead ?? read) > read ? "no whole answer" : "silent"
  const error = unreachable("silent", `${url.host}: ${what} for ${Duration.format(patience)}`)
  Outcome.end(exchange.answer, error)
  Outcome.end(exchange.silence, error)
}

const ignoreError = () => {}

/** Adds all listeners in one go: an event that comes before its listener is lost, and an "error" ends the process. */
const begin = (
  via: Net.Socket | Http.Agent,
  { method, url, path, headers, send }: PeerRequest,
  patience: Duration.Duration
): Exchange => {
  const request = Http.request({
    method,
    path: path ?? `${url.pathname}${url.search}`,
    headers: { host: url.host, ...headers },
    ...(via instanceof Http.Agent ? { agent: via } : { createConnection: () => via })
  })
  const exchange: Exchange = {
    request,
    url,
    answer: Outcome.make(),
    silence: Outcome.make(),
    isAnswered: false,
    steps: 0,
    read: 0,
    fellSilent: () => fellSilent(exchange, patience)
  }
  const step = () => {
    exchange.steps++
  }
  /** An answer without a body, whose end is still to be told. */
  let whole: Http.IncomingMessage | undefined
  // What follows an answer that is whole, be it in the same packet, changes nothing.
  const failed = (error: PeerUnreachable) =>
    Outcome.end(exchange.answer, whole?.complete ? Effect.succeed(whole) : error)
  const broken = (message: string) =>
    failed(unreachable(request.reusedSocket ? "stale" : "broken", `${url.host}: ${message}`))
  // None of these but "error" and "drain" comes twice, and what is to be taken off first is more work than what is called.
  request.on("error", (error) => (error instanceof PeerUnreachable ? failed(error) : broken(text(error))))
  request.on("close", () => {
    if (!exchange.isAnswered) broken("the connection was closed without an answer")
  })
  const otherProtocol = () =>
    failed(unreachable("broken", `${url.host}: answered 101, which is no answer to what was asked`))
  request.on("upgrade", (_, socket) => {
    socket.destroy()
    otherProtocol()
  })
  request.on("response", (response) => {
    // Whoever reads the response later sees from its state that it failed.
    response.on("error", ignoreError)
    exchange.isAnswered = true
    const tell = () => Outcome.end(exchange.answer, Effect.succeed(response))
    if (response.statusCode === 101) otherProtocol()
    // Of one without a body all came with its head: that is waited for, and its end, in one.
    else if (response.headers["content-length"] === "0") {
      whole = response
      response.on("end", tell).on("close", tell).resume()
    } else tell()
  })
  request.on("socket", (socket) => {
    step()
    exchange.read = socket.bytesRead
    // Node would wait for a "close" of the socket that has been already.
    if (socket.destroyed) request.destroy(new Error("the connection was closed"))
  })
  request.on("drain", step).on("finish", step)
  send(request)
  return exchange
}

const beginScoped = (via: Net.Socket | Http.Agent, request: PeerRequest) =>
  Acquired.acquire(
    () => begin(via, request, Duration.infinity),
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
  Effect.flatMap(beginScoped(via, request), ({ answer }) => Outcome.wait(answer))

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
 * @param watch has the patience: so long the request may stand still, and so long its answer may take
 */
export const exchange = <A, E>(
  via: Net.Socket | Http.Agent,
  request: PeerRequest,
  watch: SilenceWatch,
  use: (response: Http.IncomingMessage) => Effect.Effect<A, E>
): Effect.Effect<A, E | PeerUnreachable> =>
  Effect.uninterruptibleMask((restore) => {
    const begun = begin(via, request, watch.patience)
    const end = watch.begin(begun)
    const ended = <Ended>(exit: Ended): Ended => {
      end()
      begun.request.destroy()
      return exit
    }
    return Effect.matchCauseEffect(restore(conduct(begun, use)), {
      onFailure: (cause) => ended(Exit.failCause(cause)),
      onSuccess: (value) => ended(Exit.succeed(value))
    })
  })

const conduct = <A, E>(begun: Exchange, use: (response: Http.IncomingMessage) => Effect.Effect<A, E>) =>
  Effect.flatMap(Outcome.wait(begun.answer), (response) => {
    // What came whole is not waited for.
    const used = response.complete ? use(response) : Race.first(use(response), Outcome.wait(begun.silence))
    return AtOnce.flatMap(used, (result) => (isOver(begun) ? Effect.succeed(result) : offered(begun, result)))
  })

/** Offers the peer the rest of the request, though it has answered. */
const offered = <A>(begun: Exchange, result: A) =>
  Effect.suspend(() => {
    // The answer itself was a step.
    begun.steps++
    return Effect.as(Effect.ignore(Race.first(sent(begun), Outcome.wait(begun.silence))), result)
  })

/** What was read of an answer's body. */
export interface Heard {
  readonly text: string
  /** It was read to its end, or as much of it as was wanted. */
  readonly whole: boolean
}

/**
 * The beginning of an answer's body: never more than `maxLength` bytes, and what came `within` a time. Never fails: of
 * what breaks off it has what was there. What is over is looked at when this is called, and is its value then (`AtOnce`).
 */
export const hear = (
  message: Http.IncomingMessage,
  { maxLength, within }: { readonly maxLength: number; readonly within: Duration.Duration }
): Effect.Effect<Heard> =>
  message.readableEnded
    ? Effect.succeed({ text: "", whole: message.complete })
    : Effect.suspend(() => {
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
