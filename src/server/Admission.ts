/** What every request goes through before its route: who may call, whether there is such a route, and whose page asks. */
import { HttpServerError, type HttpServerRequest } from "@effect/platform"
import { Cause, Effect, Either } from "effect"
import * as AtOnce from "../AtOnce.ts"
import { Access, type AccessService, countRefusal } from "../access/Access.ts"
import * as AddressSet from "../access/AddressSet.ts"
import * as Browser from "../access/Browser.ts"
import { callerOf, hasGone, isEncrypted, localAddress, namesItsHost } from "../access/Caller.ts"
import { RelayConfig } from "../config/RelayConfig.ts"
import type { Settings } from "../config/Settings.ts"
import { originForm } from "../http/BasePath.ts"
import { type AccessDenied, InvalidRequest, MethodNotAllowed, NotFound } from "../RelayError.ts"
import { RemoteRunApi } from "../remote-run/RemoteRunApi.ts"
import * as Span from "../Span.ts"
import type { Match, Route, RouteTable } from "./RouteTable.ts"

/** Why a request does not get to a route. */
export type Refusal = AccessDenied | InvalidRequest | NotFound | MethodNotAllowed

/** What is asked. */
export interface Asked {
  readonly request: HttpServerRequest.HttpServerRequest
  /** Below the base, without the query. */
  readonly path: string
  readonly match: Match
  /** The one of the routes there that has the request's method. */
  readonly route: Route | undefined
}

/** Gives the route, if the caller may have it. */
export interface Admission {
  /** At once: nearly always it is known then; else what is still to be done for it, or said of it. */
  readonly look: (asked: Asked) => Route | Effect.Effect<Route, Refusal>
  /** The same, in a span where spans are taken. */
  readonly check: (asked: Asked) => Effect.Effect<Route, Refusal>
}

/** Whether the route is known already. */
export const isKnown = (found: Route | Effect.Effect<Route, Refusal>): found is Route => "askedBy" in found

const isDecodable = (path: string): boolean => {
  if (!path.includes("%")) return !path.includes("\0")
  try {
    return !decodeURIComponent(path).includes("\0")
  } catch {
    return false
  }
}

const isLoopback = AddressSet.make(AddressSet.loopback)

const browserRequest = (request: HttpServerRequest.HttpServerRequest): Browser.BrowserRequest => ({
  // `GET http://host/path`: the host in the request's target counts, and not the header (RFC 9112, 3.2.2).
  host: originForm(request.url).host ?? request.headers.host,
  origin: request.headers.origin,
  fetchSite: request.headers["sec-fetch-site"],
  userAgent: request.headers["user-agent"],
  encrypted: isEncrypted(request),
  loopback: isLoopback(localAddress(request) ?? "")
})

interface Parts {
  readonly settings: Settings
  readonly access: AccessService
  readonly routes: RouteTable
}

/** Routes of what the configuration switched off are not there. */
const isOn = ({ settings }: Parts, { group }: Route): boolean =>
  settings.remoteRun.enabled || group !== RemoteRunApi.identifier

const notFound = (parts: Parts, { routes }: Match) => {
  const allowed = [...new Set(routes.filter((route) => isOn(parts, route)).map(({ method }) => method))]
  return allowed.length === 0
    ? new NotFound({ message: "no such route" })
    : new MethodNotAllowed({ message: `expected ${allowed.join(" or ")}`, allowed })
}

const checkBrowser = ({ settings }: Parts, request: HttpServerRequest.HttpServerRequest) =>
  Either.mapLeft(Browser.check(browserRequest(request), settings.access.hosts), (error) => {
    countRefusal("browser")
    return error
  })

const notOneHost = new InvalidRequest({ parameter: "Host", message: "Host: expected one, and no more" })

/** Who has gone is not refused for the address that the connection has lost. */
const gone = Effect.failCause(Cause.interrupt(HttpServerError.clientAbortFiberId))

/** The route of a caller who may ask what is at this path. */
const choose = (
  parts: Parts,
  { request, path, match, route }: Asked
): Route | Effect.Effect<Route, Refusal> => {
  if (!namesItsHost(request)) return notOneHost
  if (!isDecodable(path)) return new InvalidRequest({ message: "the path is not percent-encoded text" })
  if (route === undefined || !isOn(parts, route)) return notFound(parts, match)
  if (!route.hasEffect) return route
  const checked = checkBrowser(parts, request)
  return Either.isLeft(checked) ? checked.left : route
}

const look = (parts: Parts, asked: Asked): Route | Effect.Effect<Route, Refusal> => {
  const { request, path, match } = asked
  const askedBy = match.routes[0]?.askedBy ?? parts.routes.askedBy(path)
  const caller = callerOf(request)
  if (hasGone(request)) return gone
  const checked = parts.access.check(askedBy, caller)
  return AtOnce.isValue(checked)
    ? choose(parts, asked)
    : Effect.flatMap(checked, () => effectOf(choose(parts, asked)))
}

/** The same, where a defect is one of the request's, which is answered and logged as any other. */
const lookSafely = (parts: Parts, asked: Asked): Route | Effect.Effect<Route, Refusal> => {
  try {
    return look(parts, asked)
  } catch (defect) {
    return Effect.die(defect)
  }
}

/** What was found at once, as an effect. */
const effectOf = (found: Route | Effect.Effect<Route, Refusal>): Effect.Effect<Route, Refusal> =>
  isKnown(found) ? Effect.succeed(found) : found

const inSpan = Span.around("Admission.check")

/** By the configuration, for these routes. */
export const make = (routes: RouteTable): Effect.Effect<Admission, never, Access | RelayConfig> =>
  Effect.gen(function* () {
    const parts: Parts = { settings: yield* RelayConfig, access: yield* Access, routes }
    return {
      look: (asked) => lookSafely(parts, asked),
      check: (asked) =>
        inSpan(
          Effect.suspend(() => effectOf(look(parts, asked))),
          () => ({ path: asked.path })
        )
    }
  })
