/**
 * What every request passes before its route: base path, who may call, whether another site's page made a browser do
 * it, and whether there is such a route; and how what goes wrong is answered.
 */

import { randomUUID } from "node:crypto"
import { IncomingMessage } from "node:http"
import {
  HttpApiBuilder,
  HttpApiError,
  HttpApp,
  HttpServerError,
  HttpServerRequest,
  HttpServerResponse
} from "@effect/platform"
import { Cause, Effect, Option } from "effect"
import { Access, type RouteKind } from "../access/Access.ts"
import * as AddressSet from "../access/AddressSet.ts"
import * as Browser from "../access/Browser.ts"
import { callerOf, isEncrypted, localAddress } from "../access/Caller.ts"
import { RelayConfig } from "../config/RelayConfig.ts"
import { BasePath, originForm, strip } from "../http/BasePath.ts"
import { RelayApi } from "../RelayApi.ts"
import { InvalidRequest, MethodNotAllowed, NotFound, TooBusy } from "../RelayError.ts"
import * as RouteTable from "./RouteTable.ts"

/** The table of who may call, by the path below the base. */
const kindOf = (path: string): RouteKind => {
  if (path.startsWith("/remote-run/")) return "policyServer"
  if (path.startsWith("/shared-files/")) return "nodes"
  return path.startsWith("/shared-folder/") ? "sharedFolder" : "admin"
}

/** Starting a run has an effect, also by GET; reading one has none. */
const hasEffect = (method: string, path: string): boolean =>
  (method !== "GET" && method !== "HEAD") || /^\/remote-run\/(node\/|nodes$|nodes\/|all$)/.test(path)

const isDecodable = (path: string): boolean => {
  try {
    return !decodeURIComponent(path).includes("\0")
  } catch {
    return false
  }
}

const isLoopback = AddressSet.make(AddressSet.loopback)

const browserRequest = (request: HttpServerRequest.HttpServerRequest): Browser.BrowserRequest => ({
  // The target's own host counts, where it has one (RFC 9112, 3.2.2).
  host: originForm(request.url).host ?? request.headers.host,
  origin: request.headers.origin,
  fetchSite: request.headers["sec-fetch-site"],
  userAgent: request.headers["user-agent"],
  encrypted: isEncrypted(request),
  loopback: isLoopback(localAddress(request) ?? "")
})

/** The platform drains a body that nobody read; the connection is closed instead. */
const closeAfterUnreadBody = HttpApp.appendPreResponseHandler((request, response) => {
  const source: unknown = request.source
  const hasBody =
    request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0
  const unread = hasBody && source instanceof IncomingMessage && !source.complete
  return Effect.succeed(unread ? HttpServerResponse.setHeader(response, "connection", "close") : response)
})

const header = (name: string, value: string) =>
  HttpApp.appendPreResponseHandler((_, response) =>
    Effect.succeed(HttpServerResponse.setHeader(response, name, value))
  )

const decodeFailure = (error: HttpApiError.HttpApiDecodeError) => {
  const [issue] = error.issues
  const parameter = issue?.path.map(String).join(".") ?? ""
  const message = issue?.message ?? error.message
  return parameter === ""
    ? new InvalidRequest({ message })
    : new InvalidRequest({ parameter, message: `${parameter}: ${message}` })
}

/** Errors of the platform become the contract's; the contract's get the headers that go with them. */
const translate = (error: unknown): Effect.Effect<never, unknown> => {
  if (error instanceof HttpApiError.HttpApiDecodeError) return Effect.fail(decodeFailure(error))
  if (error instanceof HttpServerError.RouteNotFound)
    return Effect.fail(new NotFound({ message: "no such route" }))
  if (error instanceof TooBusy)
    return Effect.andThen(header("retry-after", String(error.retryAfterSeconds)), Effect.fail(error))
  if (error instanceof MethodNotAllowed)
    return Effect.andThen(header("allow", error.allowed.join(", ")), Effect.fail(error))
  return Effect.fail(error)
}

/** What should not happen is told without details; the log has them under the same id. */
const answerDefect = (cause: Cause.Cause<unknown>) =>
  Effect.gen(function* () {
    const id = randomUUID()
    yield* Effect.logError("a request failed", cause).pipe(Effect.annotateLogs({ request: id }))
    const body = { _tag: "InternalError", message: "internal error; the relay's log has it", request: id }
    return HttpServerResponse.text(JSON.stringify(body), { status: 500, contentType: "application/json" })
  })

/** A failure is encoded by the API; only a defect is left to us. Interruption: the client is gone. */
const orDefect = (
  cause: Cause.Cause<unknown>
): Effect.Effect<HttpServerResponse.HttpServerResponse, unknown> =>
  Option.isSome(Cause.failureOption(cause)) || Cause.isInterruptedOnly(cause)
    ? Effect.failCause(cause)
    : answerDefect(cause)

const make = Effect.gen(function* () {
  const settings = yield* RelayConfig
  const access = yield* Access
  const routes = RouteTable.make(RelayApi)

  const checkRoute = (method: string, path: string) => {
    const methods = path.startsWith("/remote-run/") && !settings.remoteRun.enabled ? [] : routes.methods(path)
    if (methods.length === 0) return Effect.fail(new NotFound({ message: "no such route" }))
    if (!methods.includes(method))
      return Effect.fail(
        new MethodNotAllowed({ message: `expected ${methods.join(" or ")}`, allowed: methods })
      )
    return Effect.void
  }

  const check = (request: HttpServerRequest.HttpServerRequest, path: string) =>
    Effect.gen(function* () {
      yield* access.check(kindOf(path), callerOf(request))
      if (!isDecodable(path))
        return yield* new InvalidRequest({ message: "the path is not percent-encoded text" })
      yield* checkRoute(request.method, path)
      if (hasEffect(request.method, path))
        yield* Browser.check(browserRequest(request), settings.access.hosts)
    })

  const admit = (app: HttpApp.Default<unknown>): HttpApp.Default<unknown> =>
    Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      yield* closeAfterUnreadBody
      // A path outside both bases is nobody's: checked like the rest, and not found.
      const stripped = strip(originForm(request.url).url) ?? { versioned: false, url: "/" }
      const [path = "/", ...query] = stripped.url.split("?")
      yield* check(request, path)
      // The router takes what is behind a semicolon for a query.
      const url = [path.replaceAll(";", "%3B"), ...query].join("?")
      return yield* app.pipe(
        Effect.provideService(HttpServerRequest.HttpServerRequest, request.modify({ url })),
        Effect.provideService(BasePath, { versioned: stripped.versioned })
      )
    }).pipe(Effect.catchAll(translate), Effect.catchAllCause(orDefect))

  // The platform types an app's errors as never, though typed errors of endpoints pass here and are encoded outside.
  return (app: HttpApp.Default) => admit(app) as HttpApp.Default
})

/** Around every route of the API. */
export const layer = HttpApiBuilder.middleware(RelayApi, make)
