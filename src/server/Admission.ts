/**
 * What every request goes through before its route: base path, who may call, whether another site's page made a browser
 * do it, and whether there is such a route; and how what goes wrong is answered.
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
import { Cause, Context, Effect, Either, Option } from "effect"
import { Access, countRefusal } from "../access/Access.ts"
import * as AddressSet from "../access/AddressSet.ts"
import * as Browser from "../access/Browser.ts"
import { callerOf, isEncrypted, localAddress } from "../access/Caller.ts"
import { RelayConfig } from "../config/RelayConfig.ts"
import { BasePath, originForm, strip } from "../http/BasePath.ts"
import * as RequestId from "../http/RequestId.ts"
import { RelayApi } from "../RelayApi.ts"
import {
  type AccessDenied,
  InternalError,
  InvalidRequest,
  MethodNotAllowed,
  NotFound,
  StorageError,
  TooBusy
} from "../RelayError.ts"
import * as RequestReport from "../RequestReport.ts"
import { RemoteRunApi } from "../remote-run/RemoteRunApi.ts"
import * as Span from "../Span.ts"
import * as RequestLog from "./RequestLog.ts"
import * as RequestMetrics from "./RequestMetrics.ts"
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
const isUnread = (request: HttpServerRequest.HttpServerRequest): boolean => {
  const source: unknown = request.source
  return hasBody(request) && source instanceof IncomingMessage && !source.complete
}

/** What every answer has: the request's id, and the connection's end where it has one. */
const finish = (id: string) =>
  HttpApp.appendPreResponseHandler((request, response) => {
    const identified = HttpServerResponse.setHeader(response, RequestId.header, id)
    return Effect.succeed(
      isUnread(request) ? HttpServerResponse.setHeader(identified, "connection", "close") : identified
    )
  })

const hasBody = ({ headers }: HttpServerRequest.HttpServerRequest): boolean =>
  headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0

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

type Refusal = AccessDenied | InvalidRequest | NotFound | MethodNotAllowed

/** What the disk said names the relay's own files: the log has it, under the id that the caller is told. */
const withoutPaths = (error: StorageError, request: string, report: RequestReport.RequestReport) =>
  Effect.suspend(() => {
    report.add({ error: error.message }, "the disk failed a request")
    return new StorageError({ message: "the relay's disk failed; its log has it", request })
  })

/** Errors of the platform become the contract's; the contract's get the headers that go with them. */
const translate = (
  error: unknown,
  request: string,
  report: RequestReport.RequestReport
): Effect.Effect<never, unknown> => {
  if (error instanceof HttpApiError.HttpApiDecodeError) return Effect.fail(decodeFailure(error))
  if (error instanceof HttpServerError.RouteNotFound)
    return Effect.fail(new NotFound({ message: "no such route" }))
  if (error instanceof StorageError) return withoutPaths(error, request, report)
  if (error instanceof TooBusy)
    return Effect.andThen(header("retry-after", String(error.retryAfterSeconds)), Effect.fail(error))
  if (error instanceof MethodNotAllowed)
    return Effect.andThen(header("allow", error.allowed.join(", ")), Effect.fail(error))
  return Effect.fail(error)
}

/** What should not happen is told without details; the log has them under the same id. */
const answerDefect = (cause: Cause.Cause<unknown>, request: string) =>
  Effect.gen(function* () {
    yield* Effect.logError("a request failed", cause).pipe(Effect.annotateLogs({ request }))
    return yield* new InternalError({ message: "internal error; the relay's log has it", request })
  })

/** Answers a defect. Failures are encoded by the API, and an interruption means that the client has gone. */
const orDefect = (
  cause: Cause.Cause<unknown>,
  request: string
): Effect.Effect<HttpServerResponse.HttpServerResponse, unknown> =>
  Option.isSome(Cause.failureOption(cause)) || Cause.isInterruptedOnly(cause)
    ? Effect.failCause(cause)
    : answerDefect(cause, request)

const make = Effect.gen(function* () {
  const settings = yield* RelayConfig
  const access = yield* Access
  const routes = RouteTable.make(RelayApi)
  const log = yield* RequestLog.make
  const count = RequestMetrics.make()

  /** Routes of what the configuration switched off are not there. */
  const isOn = ({ group }: RouteTable.Route) =>
    settings.remoteRun.enabled || group !== RemoteRunApi.identifier

  const notFound = (atPath: ReadonlyArray<RouteTable.Route>) => {
    const allowed = [...new Set(atPath.filter(isOn).map(({ method }) => method))]
    return allowed.length === 0
      ? new NotFound({ message: "no such route" })
      : new MethodNotAllowed({ message: `expected ${allowed.join(" or ")}`, allowed })
  }

  const checkBrowser = (request: HttpServerRequest.HttpServerRequest) =>
    Either.mapLeft(Browser.check(browserRequest(request), settings.access.hosts), (error) => {
      countRefusal("browser")
      return error
    })

  const check = (
    request: HttpServerRequest.HttpServerRequest,
    path: string,
    atPath: ReadonlyArray<RouteTable.Route>,
    route: RouteTable.Route | undefined
  ): Effect.Effect<void, Refusal> => {
    const askedBy = atPath[0]?.askedBy ?? routes.askedBy(path)
    return Effect.flatMap(access.check(askedBy, callerOf(request)), (): Effect.Effect<void, Refusal> => {
      if (!isDecodable(path)) return new InvalidRequest({ message: "the path is not percent-encoded text" })
      if (route === undefined) return notFound(atPath)
      return route.hasEffect ? checkBrowser(request) : Effect.void
    }).pipe(Span.within("Admission.check", () => ({ path })))
  }

  const admit = (app: HttpApp.Default<unknown>): HttpApp.Default<unknown> =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
      const began = performance.now()
      const id = RequestId.of(request.headers[RequestId.header])
      // A path outside both bases is nobody's: checked like the rest, and not found.
      const { versioned, url } = strip(originForm(request.url).url) ?? { versioned: false, url: "/" }
      const query = url.indexOf("?")
      const path = query === -1 ? url : url.slice(0, query)
      const atPath = routes.at(path)
      const route = atPath.find((candidate) => candidate.method === request.method && isOn(candidate))
      const report = RequestReport.make(request.method, route?.path ?? "none")
      // The router takes what is behind a semicolon for a query.
      const routed = path.includes(";") ? `${path.replaceAll(";", "%3B")}${url.slice(path.length)}` : url
      const admitted = Effect.mapInputContext(
        Effect.andThen(check(request, path, atPath, route), app),
        // All at once: a context is copied for each that is added alone.
        (context: Context.Context<HttpServerRequest.HttpServerRequest>) =>
          context.pipe(
            Context.add(HttpServerRequest.HttpServerRequest, request.modify({ url: routed })),
            Context.add(BasePath, { versioned }),
            Context.add(RequestId.RequestId, id),
            Context.add(RequestReport.CurrentReport, report)
          )
      )
      const answered = Effect.andThen(finish(id), admitted).pipe(
        Effect.catchAll((error) => translate(error, id, report)),
        Effect.catchAllCause((cause) => orDefect(cause, id))
      )
      const hasEffect = route?.hasEffect === true
      const end = (status: number, error: Option.Option<unknown>): Effect.Effect<void> => {
        const seconds = (performance.now() - began) / 1000
        count(route, request.method, status, seconds)
        return log.isTold(hasEffect, status)
          ? log.tell({ request, id, report, hasEffect, error, status, seconds })
          : Effect.void
      }
      return Effect.matchCauseEffect(answered, {
        onSuccess: (response) => Effect.as(end(response.status, Option.none()), response),
        onFailure: (cause) => {
          const error = Cause.failureOption(cause)
          const status = Option.match(error, { onNone: () => RequestLog.left, onSome: RequestLog.statusOf })
          return Effect.andThen(end(status, error), Effect.failCause(cause))
        }
      })
    })

  // The platform types an app's errors as never, but typed errors of endpoints come through here, and are encoded outside.
  return (app: HttpApp.Default) => admit(app) as HttpApp.Default
})

/** Around every route of the API. */
export const layer = HttpApiBuilder.middleware(RelayApi, make)
