/**
 * Handlers that read their requests themselves: of the path they are given the parameters, of the query nothing is
 * decoded for them, and no service is handed to them with a request, as they have theirs. For the routes that are asked
 * most: the platform's own builder merges, for each request, all services that there are into what the request has.
 *
 * A handler has two steps: what an address means, which is the same as long as the relay runs, and what is answered, which
 * is found out each time. So the first is kept of addresses that are asked for again and again.
 */
import {
  type HttpApi,
  HttpApiBuilder,
  type HttpApiEndpoint,
  type HttpApiGroup,
  HttpRouter,
  HttpServerRequest,
  type HttpServerResponse
} from "@effect/platform"
import { Context, Effect, Layer, type Scope } from "effect"
import type { Batch } from "../EventLoop.ts"
import * as Stacked from "../Stacked.ts"
import * as Endpoints from "./Endpoints.ts"
import * as Query from "./Query.ts"

/** What a handler may ask for besides. */
export type Needed = HttpServerRequest.HttpServerRequest | Scope.Scope

/** What a handler reads. `path` is as its endpoint describes it, which is text. */
export interface Address<Path> {
  readonly path: Path
  /** What is behind the `?`, not decoded. */
  readonly query: string
}

/** What is answered. */
export interface Given {
  /** At its own address, or at the one below the base: what of it counts has been read. */
  readonly request: HttpServerRequest.HttpServerRequest
  /**
   * Whether what is known when the handler is called may be its answer: a handler that gives an `Exit` then is answered
   * without a fiber. Where spans are taken, all is done by its effect.
   */
  readonly isAtOnce: boolean
  /** Who asks together with it: one look may answer all of them. Undefined: it is alone. */
  readonly batch: Batch | undefined
}

type PathOf<Endpoint> =
  Endpoint extends HttpApiEndpoint.HttpApiEndpoint<
    infer _Name,
    infer _Method,
    infer Path,
    infer _Params,
    infer _Payload,
    infer _Headers,
    infer _Success,
    infer _Error,
    infer _R,
    infer _RE
  >
    ? Path
    : never

/**
 * A handler for each endpoint; `ApiError` are the errors that any of them may end with. The first call reads an address, with
 * no look at anything else, and fails by what it gives; the second answers a request for it.
 */
export type Handlers<Endpoints extends HttpApiEndpoint.HttpApiEndpoint.Any, ApiError> = {
  readonly [Name in HttpApiEndpoint.HttpApiEndpoint.Name<Endpoints>]: (
    address: Address<PathOf<HttpApiEndpoint.HttpApiEndpoint.WithName<Endpoints, Name>>>
  ) => (
    given: Given
  ) => Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    ApiError | HttpApiEndpoint.HttpApiEndpoint.ErrorWithName<Endpoints, Name>,
    Needed
  >
}

/** What answers requests for an address that has been read. */
export type Answer = (given: Given) => Effect.Effect<HttpServerResponse.HttpServerResponse, unknown, Needed>

/** Any of them, as they are called. */
export type Handler = (address: Address<unknown>) => Answer

const handled = (handler: Handler) =>
  Effect.contextWithEffect(
    (context: Context.Context<HttpServerRequest.HttpServerRequest | HttpRouter.RouteContext>) => {
      const request = Context.get(context, HttpServerRequest.HttpServerRequest)
      const { params: path } = Context.get(context, HttpRouter.RouteContext)
      return handler({ path, query: Query.textOf(request) })({ request, isAtOnce: false, batch: undefined })
    }
  )

/** Those of the routes that are made here, and what each calls. */
const raw = new WeakMap<object, Handler>()

/** The handler of a route that reads the query itself; undefined: it is one of the platform's. */
export const handlerOf = (route: object): Handler | undefined => raw.get(route)

/** Puts the routes of these handlers on the router that all groups of an API share. */
const add = <Id extends string, Groups extends HttpApiGroup.HttpApiGroup.Any, ApiError, ApiR, E, R>(
  api: HttpApi.HttpApi<Id, Groups, ApiError, ApiR>,
  name: string,
  make: Effect.Effect<Readonly<Record<string, unknown>>, E, R>
) =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const router = yield* HttpApiBuilder.Router
      // By their names: a route's parameters are those of its endpoint's path.
      const handlers = new Map(Object.entries<unknown>(yield* make)) as Map<string, Handler>
      const routes: Array<HttpRouter.Route<unknown, never>> = []
      for (const { endpoint, group } of Endpoints.of(api)) {
        const handler = group.identifier === name ? handlers.get(endpoint.name) : undefined
        if (handler === undefined) continue
        const route = HttpRouter.makeRoute(endpoint.method, endpoint.path, handled(handler))
        raw.set(route, handler)
        routes.push(route)
      }
      yield* router.concat(HttpRouter.fromIterable(routes))
    })
  ).pipe(Stacked.provide(HttpApiBuilder.Router.Live))

/** The routes of a group, by these handlers. */
export const group = <
  Id extends string,
  Groups extends HttpApiGroup.HttpApiGroup.Any,
  ApiError,
  ApiR,
  const Name extends HttpApiGroup.HttpApiGroup.Name<Groups>,
  E,
  R
>(
  api: HttpApi.HttpApi<Id, Groups, ApiError, ApiR>,
  name: Name,
  make: Effect.Effect<Handlers<HttpApiGroup.HttpApiGroup.EndpointsWithName<Groups, Name>, ApiError>, E, R>
) =>
  // The platform has no value of this service: it says no more than that the group's routes are on the router.
  add(api, name, make) as Layer.Layer<HttpApiGroup.ApiGroup<Id, Name>, E, Exclude<R, Scope.Scope>>

/**
 * Of a group that the platform's builder makes, the routes that are asked so often that they have handlers here: of two
 * for one route, that of here counts.
 */
export const besides = <
  Id extends string,
  Groups extends HttpApiGroup.HttpApiGroup.Any,
  ApiError,
  ApiR,
  const Name extends HttpApiGroup.HttpApiGroup.Name<Groups>,
  E,
  R
>(
  api: HttpApi.HttpApi<Id, Groups, ApiError, ApiR>,
  name: Name,
  make: Effect.Effect<
    Partial<Handlers<HttpApiGroup.HttpApiGroup.EndpointsWithName<Groups, Name>, ApiError>>,
    E,
    R
  >
) => add(api, name, make)
