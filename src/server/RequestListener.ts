/**
 * What node's server calls with each request: an app, run in a fiber of the request's own, and its answer written.
 *
 * A request that waits for nothing is begun, answered and forgotten in one go; where the app knows the answer when it has
 * read the request, without a fiber. One that only asks, or whose body is small, is begun behind those that are read in the
 * same turn of the event loop, any other before the call returns. In the place of the platform's own
 * (`NodeHttpServer.makeHandler`), which makes scope, context, request and answer in steps of an effect each: most of what a
 * small request costs. What it has that this has not: upgrades, which the relay does not know, and
 * `HttpApp.ejectDefaultScopeClose`.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { HttpApp, HttpServerError, HttpServerRequest, type HttpServerResponse } from "@effect/platform"
import { toServerResponse } from "@effect/platform-node/NodeHttpServerRequest"
import { Context, Effect, Exit, type Fiber, FiberRef, FiberRefs, Runtime, RuntimeFlags } from "effect"
import { PlainScope } from "../Acquired.ts"
import { type Batch, together } from "../EventLoop.ts"
import {
  type Answered,
  type Begin,
  type BegunRequest,
  type FlatHeaders,
  isAnswered,
  toHttpApp,
  withHeaders
} from "./BegunRequest.ts"
import * as NodeAnswer from "./NodeAnswer.ts"
import { NodeRequest } from "./NodeRequest.ts"

type Response = HttpServerResponse.HttpServerResponse

/** Hears of each request, so that a stop can wait for it. */
export interface Watch {
  readonly begin: () => void
  /** Its fiber has ended. */
  readonly end: () => void
}

/** A listener for "request". */
export type RequestListener = (message: IncomingMessage, node: ServerResponse) => void

const noHeaders = (): FlatHeaders => []

/** Says that there was an error, where nothing else can be said any more; a part of an answer is cut off. */
const fail = (node: ServerResponse, { status }: Response, headers: FlatHeaders): void => {
  if (node.writableEnded) return
  if (node.headersSent) node.destroy()
  else node.writeHead(status, [...headers]).end()
}

/** Writes the answer, and gives what was answered. */
const write = (answering: NodeAnswer.Answering): Effect.Effect<Response, HttpServerError.ResponseError> => {
  const { response } = answering
  try {
    const rest = NodeAnswer.write(answering)
    return rest === undefined ? Effect.succeed(response) : Effect.as(rest, response)
  } catch (defect) {
    return Effect.die(defect)
  }
}

/** What is under way: one request, and all that its answer goes through. */
interface Flight {
  readonly request: NodeRequest
  readonly node: ServerResponse
  readonly headers: () => FlatHeaders
}

/** What an embedding program would have done to every answer comes last, as in the platform's server. */
const respond = ({ request, node, headers }: Flight, response: Response) =>
  Effect.withFiberRuntime<Response, HttpServerError.ResponseError>((fiber) => {
    const last = fiber.getFiberRef(HttpApp.currentPreResponseHandlers)
    if (last._tag === "None") return write({ request, node, response, headers: headers() })
    return Effect.flatMap(last.value(request, withHeaders(response, headers())), (changed) =>
      write({ request, node, response: changed, headers: noHeaders() })
    )
  })

/** Whatever comes of the app and of its answer, node's response is ended. */
const responded = <E, Q>(flight: Flight, answer: Effect.Effect<Response, E, Q>) =>
  Effect.matchCauseEffect(answer, {
    onSuccess: (response) => respond(flight, response),
    onFailure: (cause) =>
      Effect.flatMap(HttpServerError.causeResponse(cause), ([response]) => respond(flight, response))
  }).pipe(
    Effect.catchAllCause((cause) =>
      Effect.flatMap(HttpServerError.causeResponse(cause), ([response]) => {
        fail(flight.node, response, flight.headers())
        return Effect.succeed(response)
      })
    )
  )

/** What was put into its scope is let go; that a request failed, its app has told. */
const closing = <A, E, Q>(scope: PlainScope, effect: Effect.Effect<A, E, Q>): Effect.Effect<void, never, Q> =>
  Effect.matchCauseEffect(effect, {
    onSuccess: () => scope.endNow(Exit.void),
    onFailure: (cause) => scope.endNow(Exit.failCause(cause))
  })

/** A request that has been read. */
interface Read {
  readonly request: NodeRequest
  /** When it was. Milliseconds of `performance.now()`. */
  readonly since: number
}

/** A request's fiber, from this to its end; undefined: it took none. */
type Start = (read: Read, batch: Batch | undefined) => Fiber.RuntimeFiber<void> | undefined

/** What of a runtime is every request's. */
interface Base {
  readonly fiberRefs: FiberRefs.FiberRefs
  readonly runtimeFlags: RuntimeFlags.RuntimeFlags
}

const fork = <Q>(
  { fiberRefs, runtimeFlags }: Base,
  context: Context.Context<Q>,
  run: Effect.Effect<void, never, Q>
) => Runtime.runFork(Runtime.make({ context, fiberRefs, runtimeFlags }), run)

/** Writes an answer of which all is there; false: it has to be written by a fiber, which knows what to do if that fails. */
const isWritten = (request: NodeRequest, { response, headers }: Answered): boolean => {
  const { _tag } = response.body
  if (_tag !== "Empty" && _tag !== "Uint8Array") return false
  try {
    return NodeAnswer.write({ request, node: request.response, response, headers }) === undefined
  } catch {
    return false
  }
}

const startPlain = <E, R, Q>(base: Base, services: Context.Context<R>, begin: Begin<E, R, Q>): Start => {
  const last = FiberRefs.getOrDefault(base.fiberRefs, HttpApp.currentPreResponseHandlers)
  const isAtOnce = last._tag === "None"
  return ({ request, since }, batch) => {
    const scope = new PlainScope()
    const started = <E2, Q2>({ answer, context, headers }: BegunRequest<E2, Q2>) =>
      fork(base, context, closing(scope, responded({ request, node: request.response, headers }, answer)))
    let begun: BegunRequest<E, Q> | Answered
    try {
      begun = begin({ request, scope, services, isAtOnce, since, batch })
    } catch (defect) {
      return started({ answer: Effect.die(defect), context: services, headers: noHeaders })
    }
    if (!isAnswered(begun)) return started(begun)
    if (isWritten(request, begun)) return undefined
    const { response, headers } = begun
    return started({ answer: Effect.succeed(response), context: services, headers: () => headers })
  }
}

/** With the platform's span around each request, which has its address as it came. */
const startTraced = <E, R, Q>(base: Base, services: Context.Context<R>, begin: Begin<E, R, Q>): Start => {
  const handled = HttpApp.toHandled(toHttpApp(begin), (request, response) =>
    write({ request, node: toServerResponse(request), response, headers: [] })
  )
  return ({ request }) =>
    fork(base, Context.add(services, HttpServerRequest.HttpServerRequest, request), handled)
}

/**
 * Serves an app. It is run uninterruptibly, but for what it makes interruptible itself: that is interrupted where the
 * caller leaves before the answer has been given to node.
 */
export const make = <E, R, Q>(
  begin: Begin<E, R, Q>,
  watch: Watch
): Effect.Effect<RequestListener, never, R> =>
  Effect.map(Effect.runtime<R>(), ({ context, fiberRefs, runtimeFlags }) => {
    const base: Base = {
      // A fiber begins with its request's context: there is none before that.
      fiberRefs: FiberRefs.delete(fiberRefs, FiberRef.currentContext),
      runtimeFlags: RuntimeFlags.disable(runtimeFlags, RuntimeFlags.Interruption)
    }
    const isTraced = FiberRefs.getOrDefault(fiberRefs, FiberRef.currentTracerEnabled)
    return listener((isTraced ? startTraced : startPlain)(base, context, begin), watch)
  })

/**
 * Whether a request only asks, by its method, and brings nothing to be read besides. One that waited for the answer before
 * it has been read long since.
 */
const isQuestion = ({ complete, headers, method }: IncomingMessage): boolean =>
  !complete &&
  (method === "HEAD" || method === "GET") &&
  headers["content-length"] === undefined &&
  headers["transfer-encoding"] === undefined

/**
 * Whether a request brings so little that node holds it all, though nobody reads it: as a rule it has come by the end of this
 * turn of the event loop, and who reads it then has it without waiting. Not one that waits to be asked for its body.
 */
const bringsLittle = ({ complete, headers, readableHighWaterMark }: IncomingMessage): boolean => {
  const length = Number(headers["content-length"] ?? 0)
  return !complete && length > 0 && length < readableHighWaterMark && headers.expect === undefined
}

/**
 * Questions, and what brings little, are begun behind the last of those that are read in the same turn of the event loop:
 * what a look finds then was so after each of them had been asked, so that one look may answer all of them. Where
 * 32 callers ask for one file at the same time, each HEAD takes half the work.
 */
const listener = (start: Start, watch: Watch): RequestListener => {
  const begin = (read: Read, batch: Batch | undefined): void => {
    const { response: node } = read.request
    const fiber = start(read, batch)
    if (fiber === undefined || fiber.unsafePoll() !== null) {
      watch.end()
      return
    }
    fiber.addObserver(watch.end)
    const left = () => {
      if (!node.writableEnded) fiber.unsafeInterruptAsFork(HttpServerError.clientAbortFiberId)
    }
    // Who left before it was begun has been heard of already.
    if (node.destroyed) left()
    else node.once("close", left)
  }
  const later = together(begin)
  const heard = new WeakSet<Socket>()
  return (message, node) => {
    watch.begin()
    const read = { request: new NodeRequest(message, node), since: performance.now() }
    if (!isQuestion(message) && !bringsLittle(message)) {
      begin(read, undefined)
      return
    }
    const { socket } = message
    if (!heard.has(socket)) {
      heard.add(socket)
      // Node ends its own side then: who sends no more behind a request is answered before that.
      socket.prependListener("end", later.begin)
    }
    later.add(read)
  }
}
