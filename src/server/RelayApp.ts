/**
 * The relay as one `HttpApp`: what a request is read with, its route, and what every answer has, whoever gave it.
 *
 * All requests come through here, the busy ones too, so that nothing is done in an answer's way that is not for it: the
 * path is matched once, for access and for the route, and a request has one context, made in one piece.
 */
import { IncomingMessage } from "node:http"
import {
  HttpApi,
  HttpApiBuilder,
  HttpRouter,
  HttpServerRequest,
  HttpServerRespondable,
  HttpServerResponse
} from "@effect/platform"
import { type Cause, Context, Effect, Option, Scope, Tracer } from "effect"
import * as AtOnce from "../AtOnce.ts"
import { turn } from "../EventLoop.ts"
import { BasePath } from "../http/BasePath.ts"
import * as RawHandlers from "../http/RawHandlers.ts"
import * as RequestId from "../http/RequestId.ts"
import { RelayApi } from "../RelayApi.ts"
import * as RequestReport from "../RequestReport.ts"
import * as Address from "./Address.ts"
import * as Admission from "./Admission.ts"
import type * as BegunRequest from "./BegunRequest.ts"
import * as Failure from "./Failure.ts"
import * as RequestLog from "./RequestLog.ts"
import * as RequestMetrics from "./RequestMetrics.ts"
import * as RouteTable from "./RouteTable.ts"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse
/** What the platform gives to every route. */
type Services = HttpRouter.HttpRouter.DefaultServices
type Handler = HttpRouter.Route<unknown, Services>
/** What answers at a route. */
interface Handlers {
  readonly handler: Handler
  /** What that calls, where it is one of our own. */
  readonly raw: RawHandlers.Handler | undefined
}
/** What a request is answered with. */
type Needed = Services | HttpRouter.HttpRouter.Provided

interface Parts {
  readonly addresses: Address.KnownAddresses
  readonly admission: Admission.Admission
  readonly encode: Failure.Encode
  readonly handlersOf: (route: RouteTable.Route) => Handlers
  readonly log: RequestLog.RequestLog
  readonly count: RequestMetrics.RequestMetrics
}

/** A request as it is read. */
interface Asked extends Admission.Asked {
  readonly id: string
  /** When it was read. Milliseconds of `performance.now()`. */
  readonly began: number
  readonly report: RequestReport.RequestReport
  readonly address: Address.Address
}

const read = ({ addresses }: Parts, { request, since }: BegunRequest.Given<Services>): Asked => {
  const address = addresses.of(request.method, request.url)
  const { method, path, match, route } = address
  return {
    request,
    address,
    began: since,
    report: RequestReport.make(method, (route ?? match.routes[0])?.path ?? "none", address.about),
    id: RequestId.of(request.headers[RequestId.header]),
    path,
    match,
    route
  }
}

const noSearch: Record<string, string | Array<string>> = {}

/** The query, as the platform hands it to handlers. */
const searchOf = ({ address: { query } }: Asked): Record<string, string | Array<string>> => {
  if (query === "") return noSearch
  const search: Record<string, string | Array<string>> = {}
  for (const [name, value] of new URLSearchParams(query)) {
    const before = Object.hasOwn(search, name) ? search[name] : undefined
    search[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value]
  }
  return search
}

/** What a request is answered in. */
const contextOf = (
  { handlersOf }: Parts,
  { scope, services: given }: BegunRequest.Given<Services>,
  asked: Asked
): Context.Context<Needed> => {
  const { request, route, match } = asked
  const services = new Map(given.unsafeMap)
  services.set(HttpServerRequest.HttpServerRequest.key, request.modify({ url: asked.address.url }))
  services.set(Scope.Scope.key, scope)
  services.set(BasePath.key, { versioned: asked.address.versioned })
  services.set(RequestId.RequestId.key, asked.id)
  services.set(RequestReport.CurrentReport.key, asked.report)
  if (route !== undefined) {
    const { handler, raw } = handlersOf(route)
    services.set(HttpServerRequest.ParsedSearchParams.key, raw === undefined ? searchOf(asked) : noSearch)
    services.set(HttpRouter.RouteContext.key, {
      [HttpRouter.RouteContextTypeId]: HttpRouter.RouteContextTypeId,
      params: Address.parametersOf(route, match.values),
      route: handler
    })
  }
  return Context.unsafeMake(services)
}

const hasBody = ({ headers }: Request): boolean =>
  headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0

/** The message of a request whose body has not come whole, as far as was looked. */
const unreadOf = (request: Request): IncomingMessage | undefined => {
  const message: unknown = hasBody(request) ? request.source : undefined
  return message instanceof IncomingMessage && !message.complete ? message : undefined
}

/** What the system has of a body that nobody read is taken, and forgotten where that is all of it. */
const taken = (message: IncomingMessage): Effect.Effect<void> =>
  Effect.map(turn, () => {
    if (message.complete) message.resume()
  })

/**
 * What every answer has: the request's id, and the connection's end where a body did not come whole: the platform would
 * drain it.
 */
const headersOf = ({ request, id }: Asked): BegunRequest.FlatHeaders =>
  unreadOf(request) !== undefined ? [RequestId.header, id, "connection", "close"] : [RequestId.header, id]

/** A client that leaves interrupts what answers it, and nothing around that. */
const run = ({ handlersOf }: Parts, route: RouteTable.Route) =>
  Effect.withFiberRuntime<HttpServerRespondable.Respondable, unknown, Needed>((fiber) => {
    const span = Context.getOption(fiber.currentContext, Tracer.ParentSpan)
    if (span._tag === "Some" && span.value._tag === "Span") span.value.attribute("http.route", route.path)
    return Effect.interruptible(handlersOf(route).handler.handler)
  })

/** Counts a request that has come to its end, and writes its line where it has one. */
const tell = (
  { count, log }: Parts,
  asked: Asked,
  status: number,
  error: unknown
): Effect.Effect<void> | undefined => {
  const { request, id, report, route } = asked
  const seconds = (performance.now() - asked.began) / 1000
  count(route, request.method, status, seconds)
  const hasEffect = route?.hasEffect === true
  if (!log.isTold(hasEffect, status)) return undefined
  return log.tell({ request, id, report, hasEffect, error: Option.fromNullable(error), status, seconds })
}

/** The answer of the route, or what the contract says of its error. */
const answer = <R>(
  parts: Parts,
  asked: Asked,
  made: Effect.Effect<HttpServerRespondable.Respondable, unknown, R>
): Effect.Effect<Response, never, R> => {
  const end = (response: Response, error?: unknown) => {
    const told = tell(parts, asked, response.status, error)
    const ended = told === undefined ? Effect.succeed(response) : Effect.as(told, response)
    const unread = unreadOf(asked.request)
    return unread === undefined ? ended : Effect.zipLeft(ended, taken(unread))
  }
  const left = (cause: Cause.Cause<never>) =>
    Effect.andThen(tell(parts, asked, RequestLog.left, undefined) ?? Effect.void, Effect.failCause(cause))
  return Effect.matchCauseEffect(made, {
    onSuccess: (response) =>
      HttpServerResponse.isServerResponse(response)
        ? end(response)
        : Effect.flatMap(HttpServerRespondable.toResponse(response), (made) => end(made)),
    onFailure: (cause) =>
      Effect.matchCauseEffect(Failure.answer(cause, asked, parts.encode), {
        onSuccess: ({ error, response }) => end(response, error),
        onFailure: left
      })
  })
}

/** What a handler gives when it is called. */
const call = (
  raw: RawHandlers.Handler,
  { address, request, match }: Asked,
  route: RouteTable.Route,
  batch: BegunRequest.Given<Services>["batch"]
): ReturnType<RawHandlers.Answer> => {
  try {
    address.answer ??= raw({ path: Address.parametersOf(route, match.values), query: address.query })
    return address.answer({ request, isAtOnce: true, batch })
  } catch (defect) {
    return Effect.die(defect)
  }
}

/**
 * What is asked most is answered here, with neither fiber nor context: a caller who may ask, at a route of our own whose
 * handler knows the answer, with nothing for the log.
 */
const beginAtOnce = (
  parts: Parts,
  given: BegunRequest.Given<Services>,
  asked: Asked
): ReturnType<RelayApp> => {
  const begun = (answered: Effect.Effect<Response, never, Needed>) => ({
    answer: answered,
    context: contextOf(parts, given, asked),
    headers: () => headersOf(asked)
  })
  const route = parts.admission.look(asked)
  if (!Admission.isKnown(route))
    return begun(
      answer(
        parts,
        asked,
        Effect.flatMap(route, (found) => run(parts, found))
      )
    )
  const { raw } = parts.handlersOf(route)
  if (raw === undefined) return begun(answer(parts, asked, run(parts, route)))
  const made = call(raw, asked, route, given.batch)
  // Node reads a body behind the call that its head makes: whether all of it has come is known a turn later.
  if (!AtOnce.isValue(made) || unreadOf(asked.request) !== undefined)
    return begun(answer(parts, asked, Effect.interruptible(made)))
  const response = made.value
  if (response.status === 200) parts.addresses.keep(asked.address)
  const told = tell(parts, asked, response.status, undefined)
  return told === undefined ? { response, headers: headersOf(asked) } : begun(Effect.as(told, response))
}

/** The relay, by how it begins a request. */
export type RelayApp = BegunRequest.Begin<never, Services, Needed>

const begin =
  (parts: Parts): RelayApp =>
  (given) => {
    const asked = read(parts, given)
    if (given.isAtOnce) return beginAtOnce(parts, given, asked)
    const made = Effect.flatMap(parts.admission.check(asked), (route) => run(parts, route))
    return {
      answer: answer(parts, asked, made),
      context: contextOf(parts, given, asked),
      headers: () => headersOf(asked)
    }
  }

/** Which handler belongs to a route. */
const findHandlers = (routes: Iterable<Handler>) => {
  const handlers = new Map<string, Handler>()
  for (const handler of routes) {
    const name = `${handler.method} ${handler.path}`
    const before = handlers.get(name)
    if (before === undefined || RawHandlers.handlerOf(before) === undefined) handlers.set(name, handler)
  }
  /** Asked for with each request: no name is put together for it again. */
  const found = new Map<RouteTable.Route, Handlers>()
  return (route: RouteTable.Route): Handlers => {
    const known = found.get(route)
    if (known !== undefined) return known
    const handler = handlers.get(`${route.method} ${route.path}`)
    if (handler === undefined) throw new Error(`${route.method} ${route.path} has no handler`)
    const made = { handler, raw: RawHandlers.handlerOf(handler) }
    found.set(route, made)
    return made
  }
}

/** It is put together for the first error: of all that the API may end with, which is more than a start has to know. */
const encoder: Effect.Effect<Failure.Encode> = Effect.map(Effect.context<never>(), (context) => {
  let made: Failure.Encode | undefined
  return (failure) => {
    made ??= Effect.runSync(Effect.provide(HttpApiBuilder.buildMiddleware(RelayApi), context))
    return made(failure)
  }
})

/** Over the handlers of every group. */
export const make = Effect.gen(function* () {
  // Says in the type that there is a handler for each endpoint.
  yield* HttpApi.Api
  const router = yield* HttpApiBuilder.Router.router
  const routes = RouteTable.make(RelayApi)
  const parts: Parts = {
    addresses: Address.known(routes),
    admission: yield* Admission.make(routes),
    encode: yield* encoder,
    log: yield* RequestLog.make,
    count: RequestMetrics.make(),
    handlersOf: findHandlers(router.routes)
  }
  return begin(parts)
})
