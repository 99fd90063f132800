/**
 * What every request passes before its route: base path, who may call, whether another site's page made a browser do
 * it, and whether there is such a route; and how what goes wrong is answered.
 */

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
import * as RequestId from "../http/RequestId.ts"
import { RelayApi } from "../RelayApi.ts"
import {
  InternalError,
  InvalidRequest,
  MethodNotAllowed,
  NotFound,
  StorageError,
  TooBusy
} from "../RelayError.ts"
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
  // The target's own host counts, where it has one (RFC 9112, 3.2.2).
  host: originForm(request.url).host ?? request.headers.host,
  origin: request.headers.origin,
  fetchSite: request.headers["sec-fetch-site"],
  userAgent: request.headers["user-agent"],
  encrypted: isEncrypted(request),
  loopback: isLoopback(localAddress(request) ?? "")
})

/** The platform drains a body that nobody read; the connection is closed instead. */
const isUnread = (request: HttpServerRequest.HttpServerRequest): boolean => {
  const source: unknown = request.source
  const hasBody =
    request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0
  return hasBody && source instanceof IncomingMessage && !source.complete
}

/** What every answer has: the request's id, and the connection's end where it has one. */
const finish = (id: string) =>
  HttpApp.appendPreResponseHandler((request, response) => {
    const identified = HttpServerResponse.setHeader(response, RequestId.header, id)
    return Effect.succeed(
      isUnread(request) ? HttpServerResponse.setHeader(identified, "connection", "close") : identified
    )
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

/** What the disk said names the relay's own files: the log has it, under the id that the caller is told. */
const withoutPaths = (error: StorageError) =>
  Effect.gen(function* () {
    const request = yield* RequestId.RequestId
    yield* Effect.logError("a request failed on the disk").pipe(
      Effect.annotateLogs({ request, error: error.message })
    )
    return yield* new StorageError({ message: "the relay's disk failed; its log has it", request })
  })

/** Errors of the platform become the contract's; the contract's get the headers that go with them. */
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

/** What should not happen is told without details; the log has them under the same id. */
const answerDefect = (cause: Cause.Cause<unknown>) =>
  Effect.gen(function* () {
    const request = yield* RequestId.RequestId
    yield* Effect.logError("a request failed", cause).pipe(Effect.annotateLogs({ request }))
    return yield* new InternalError({ message: "internal error; the relay's log has it", request })
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

  const pass = (app: HttpApp.Default<unknown>, request: HttpServerRequest.HttpServerRequest) =>
    Effect.gen(function* () {
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

  const admit = (app: HttpApp.Default<unknown>): HttpApp.Default<unknown> =>
    Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const id = RequestId.of(request.headers[RequestId.header])
      yield* finish(id)
      return yield* Effect.provideService(pass(app, request), RequestId.RequestId, id)
    })

  // The platform types an app's errors as never, though typed errors of endpoints pass here and are encoded outside.
  return (app: HttpApp.Default) => admit(app) as HttpApp.Default
})

/** Around every route of the API. */
export const layer = HttpApiBuilder.middleware(RelayApi, make)
