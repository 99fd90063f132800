/**
 * A request of which an app has read what it needs to answer it: what is left to do, and all that this is done with, in
 * one piece. The daemon's listener makes one fiber of that. As an `HttpApp`, for other servers, the same app has to put
 * its context in the place of the one that it was given, and set that back, which costs as much as the rest.
 */
import { type HttpApp, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Context, Effect, FiberRef, Scope } from "effect"
import type { Batch } from "../EventLoop.ts"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

/** Names and values in turn, as node takes them. */
export type FlatHeaders = ReadonlyArray<string>

/** What an app is given. */
export interface Given<R> {
  readonly request: Request
  /** Of this request: closed once it has been answered. */
  readonly scope: Scope.Scope
  /** What there is for every request. */
  readonly services: Context.Context<R>
  /**
   * Whether it may be answered at once, by plain calls and outside of any fiber: where no span is taken, and nobody else has
   * a last word about answers.
   */
  readonly isAtOnce: boolean
  /** When it was read. Milliseconds of `performance.now()`. */
  readonly since: number
  /** Those that are begun together with it, all of which had been read before the first of them is; undefined: it is alone. */
  readonly batch: Batch | undefined
}

/** A request that has been answered at once. Nothing of it goes on, and nothing is in its scope. */
export interface Answered {
  readonly response: Response
  /** What the answer has beside its own headers. */
  readonly headers: FlatHeaders
}

/** A request that has been begun. */
export interface BegunRequest<E, Q> {
  /** Answers it; what is of no use to a caller who has gone may be interrupted, and nothing else. */
  readonly answer: Effect.Effect<Response, E, Q>
  readonly context: Context.Context<Q>
  /** What the answer has beside its own headers; asked for when there is one. */
  readonly headers: () => FlatHeaders
}

/** An app, by how it begins a request. */
export type Begin<E, R, Q> = (given: Given<R>) => BegunRequest<E, Q> | Answered

/** Whether nothing is left to do but to write the answer. */
export const isAnswered = <E, Q>(begun: BegunRequest<E, Q> | Answered): begun is Answered =>
  "response" in begun

/** An answer with these headers, in the place of those that it had. */
export const withHeaders = (response: Response, headers: FlatHeaders): Response => {
  let made = response
  for (let at = 0; at < headers.length; at += 2)
    made = HttpServerResponse.setHeader(made, headers[at] ?? "", headers[at + 1] ?? "")
  return made
}

/** In this context, which is set by hand: nothing interrupts before it is set back. */
const within = <A, E, R>(effect: Effect.Effect<A, E, R>, context: Context.Context<R>): Effect.Effect<A, E> =>
  // What it asks for is in the context that is set.
  Effect.andThen(FiberRef.set(FiberRef.currentContext, context), effect) as Effect.Effect<A, E>

/** The app, for any server. */
export const toHttpApp = <E, R, Q>(begin: Begin<E, R, Q>): HttpApp.Default<E, R | Scope.Scope> =>
  Effect.contextWithEffect((given: Context.Context<R | Request | Scope.Scope>) => {
    const begun = begin({
      request: Context.get(given, HttpServerRequest.HttpServerRequest),
      scope: Context.get(given, Scope.Scope),
      services: given,
      isAtOnce: false,
      since: performance.now(),
      batch: undefined
    })
    if (isAnswered(begun)) return Effect.succeed(withHeaders(begun.response, begun.headers))
    const { answer, context, headers } = begun
    return Effect.matchCauseEffect(within(answer, context), {
      onSuccess: (response) => within(Effect.succeed(withHeaders(response, headers())), given),
      onFailure: (cause) => within(Effect.failCause(cause), given)
    })
  })
