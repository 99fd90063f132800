/**
 * What every request goes through before its route: base path, who may call, whether another site's page made a browser
 * do it, and whether there is such a route; and how what goes wrong is answered.
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
import { Access } from "../access/Access.ts"
import * as AddressSet from "../access/AddressSet.ts"
import * as Browser from "../access/Browser.ts"
import { callerOf, isEncrypted, localAddress } from "../access/Caller.ts"
import { RelayConfig } from "../config/RelayConfig.ts"
import { BasePath, originForm, strip } from "../http/BasePath.ts"
import { RelayApi } from "../RelayApi.ts"
import { InvalidRequest, MethodNotAllowed, NotFound, StorageError, TooBusy } from "../RelayError.ts"
import { RemoteRunApi } from "../remote-run/RemoteRunApi.ts"
import * as RouteTable from "./RouteTable.ts"

const isDecodable = (path: string): boolean => {
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

/** The disk's message names files of the relay: the log gets it, and the caller the id under which it is there. */
const withoutPaths = (error: StorageError) =>
  Effect.gen(function* () {
    const request = randomUUID()
    yield* Effect.logError("a request failed on the disk").pipe(
      Effect.annotateLogs({ request, error: error.message })
    )
    return yield* new StorageError({ message: "the relay's disk failed; its log has it", request })
  })

/** Turns errors of the platform into the contract's, and adds the headers that belong to some of the contract's. */
const translate = (error: unknown): Effect.Effect<never, unknown> => {
  if (error instanceof HttpApiError.HttpApiDecodeError) return Effect.fail(decodeFailure(error))
  if (error instanceof HttpServerError.RouteNotFound)
    return Effect.fail(new NotFound({ message: "no such route" }))
  if (error instanceof StorageError) return withoutPaths(error)
  if (error instanceof TooBusy)
    return Effect.andThen(header("retry-after", String(error.retryAfterSeconds)), Effect.fail(error))
  if (error instanceof MethodNotAllowed)
    return Effect.andThen(header("allow", error.allowed.join(", ")), Effect.fail(error))
  return Effect.fail(error)
}

/** The answer to a defect has no details but an id, under which the log has them. */
const answerDefect = (cause: Cause.Cause<unknown>) =>
  Effect.gen(function* () {
    const id = randomUUID()
    yield* Effect.logError("a request failed", cause).pipe(Effect.annotateLogs({ request: id }))
    const body = { _tag: "InternalError", message: "internal error; the relay's log has it", request: id }
    return HttpServerResponse.text(JSON.stringify(body), { status: 500, contentType: "application/json" })
  })

/** Answers a defect. Failures are encoded by the API, and an interruption means that the client has gone. */
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

  /** Routes of what the configuration switched off are not there. */
  const routesAt = (path: string) =>
    routes.at(path).filter(({ group }) => settings.remoteRun.enabled || group !== RemoteRunApi.identifier)

  const find = (method: string, path: string) => {
    const found = routesAt(path)
    const route = found.find((candidate) => candidate.method === method)
    if (route !== undefined) return Effect.succeed(route)
    const allowed = [...new Set(found.map((candidate) => candidate.method))]
    return Effect.fail(
      allowed.length === 0
        ? new NotFound({ message: "no such route" })
        : new MethodNotAllowed({ message: `expected ${allowed.join(" or ")}`, allowed })
    )
  }

  const check = (request: HttpServerRequest.HttpServerRequest, path: string) =>
    Effect.gen(function* () {
      yield* access.check(routes.at(path)[0]?.askedBy ?? routes.askedBy(path), callerOf(request))
      if (!isDecodable(path))
        return yield* new InvalidRequest({ message: "the path is not percent-encoded text" })
      const { hasEffect } = yield* find(request.method, path)
      if (hasEffect) yield* Browser.check(browserRequest(request), settings.access.hosts)
    }).pipe(Effect.withSpan("Admission.check", { attributes: { path } }))

  const admit = (app: HttpApp.Default<unknown>): HttpApp.Default<unknown> =>
    Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      yield* closeAfterUnreadBody
      // A path outside both bases has no route: its caller is checked all the same, and then told 404.
      const stripped = strip(originForm(request.url).url) ?? { versioned: false, url: "/" }
      const [path = "/", ...query] = stripped.url.split("?")
      yield* check(request, path)
      // To the router, a query begins at a semicolon too.
      const url = [path.replaceAll(";", "%3B"), ...query].join("?")
      return yield* app.pipe(
        Effect.provideService(HttpServerRequest.HttpServerRequest, request.modify({ url })),
        Effect.provideService(BasePath, { versioned: stripped.versioned })
      )
    }).pipe(Effect.catchAll(translate), Effect.catchAllCause(orDefect))

  // The platform types an app's errors as never, but typed errors of endpoints come through here, and are encoded outside.
  return (app: HttpApp.Default) => admit(app) as HttpApp.Default
})

/** Around every route of the API. */
export const layer = HttpApiBuilder.middleware(RelayApi, make)
