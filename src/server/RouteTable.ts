/**
 * The routes of an API by path: the one place where a request's path is matched. It says which methods there are, who may
 * ask, which of them have an effect, and what of the path is a parameter.
 */
import type { HttpApi, HttpApiGroup } from "@effect/platform"
import { Context } from "effect"
import { AskedBy, HasEffect, type RouteKind } from "../access/RouteAccess.ts"
import * as Endpoints from "../http/Endpoints.ts"

/** A route as its API has it. */
export interface Route {
  readonly method: string
  /** With its parameters by name, as the API has it: `/remote-run/runs/:id`. */
  readonly path: string
  /** The group that it belongs to, by its identifier. */
  readonly group: string
  readonly askedBy: RouteKind
  readonly hasEffect: boolean
  /** Of the parameters in its path, in their order; `*` is the rest of a path. */
  readonly names: ReadonlyArray<string>
}

/** What there is at a path. */
export interface Match {
  /** One a method. */
  readonly routes: ReadonlyArray<Route>
  /** The parameters in the path, in their order, as they stand there. */
  readonly values: ReadonlyArray<string>
}

/** Finds routes by path. */
export interface RouteTable {
  /**
   * The routes of this path (without base and query); none: there is nothing. Of two that match, that counts which says
   * more of the path itself, as OpenAPI has it: `/a/b` before `/a/:id`.
   */
  readonly at: (path: string) => Match
  /** Who may learn that there is no such route: who may ask its neighbours, else an administrator. */
  readonly askedBy: (path: string) => RouteKind
}

/** Paths that differ in nothing but the names of their parameters. */
interface Place {
  readonly pattern: RegExp
  /** The greater of two, as texts, says more of the path itself. */
  readonly precision: string
  readonly routes: Array<Route>
}

/** `/a/:b/*` as a pattern. */
const patternOf = (path: string): RegExp => {
  const segments = path
    .split("/")
    .map((segment) =>
      segment.startsWith(":")
        ? "([^/]+)"
        : segment === "*"
          ? "(.*)"
          : segment.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
    )
  return new RegExp(`^${segments.join("/")}$`)
}

const namesOf = (path: string): ReadonlyArray<string> =>
  path.split("/").flatMap((segment) => (/^[:*]/.test(segment) ? [segment.replace(/^:/, "")] : []))

/** A digit for each segment. */
const precisionOf = (path: string): string =>
  path
    .split("/")
    .map((segment) => (segment.startsWith(":") ? "1" : segment === "*" ? "0" : "2"))
    .join("")

/** The first segment of a path, where the path begins with a slash. */
const firstSegment = (path: string): string => {
  const end = path.indexOf("/", 1)
  return end === -1 ? path : path.slice(0, end)
}

/** The first segment of a path and the slash behind it; undefined where there is no such slash. */
const neighbourhood = (path: string): string | undefined => /^\/[^/]*\//.exec(path)?.[0]

const nothing: Match = { routes: [], values: [] }

/** Adds a route to the places that begin like it, those first that say more of the path. */
const add = (places: Array<Place>, route: Route): void => {
  const pattern = patternOf(route.path)
  const found = places.find((place) => place.pattern.source === pattern.source)
  if (found !== undefined) return void found.routes.push(route)
  const precision = precisionOf(route.path)
  const at = places.findIndex((place) => place.precision < precision)
  places.splice(at === -1 ? places.length : at, 0, { pattern, precision, routes: [route] })
}

/**
 * Reads the annotations of every endpoint.
 *
 * @throws Error that names the endpoint which does not say who may ask it, or whether it has an effect.
 */
export const make = <Id extends string, Groups extends HttpApiGroup.HttpApiGroup.Any, E, R>(
  api: HttpApi.HttpApi<Id, Groups, E, R>
): RouteTable => {
  /** By the first segment of their paths, which is always text. */
  const places = new Map<string, Array<Place>>()
  const neighbours = new Map<string | undefined, RouteKind>()
  for (const { endpoint, group } of Endpoints.of(api)) {
    const annotation = <I, A>(tag: Context.Tag<I, A>, annotations: Context.Context<never>): A => {
      const value = Context.getOption(annotations, tag)
      if (value._tag === "Some") return value.value
      throw new Error(`endpoint ${group.identifier}.${endpoint.name} has no annotation ${tag.key}`)
    }
    const askedBy = annotation(
      AskedBy,
      Context.mergeAll(api.annotations, group.annotations, endpoint.annotations)
    )
    const first = firstSegment(endpoint.path)
    if (/^\/[:*]/.test(first))
      throw new Error(`endpoint ${group.identifier}.${endpoint.name}: expected its path to begin with text`)
    const beside = places.get(first) ?? []
    places.set(first, beside)
    add(beside, {
      method: endpoint.method,
      path: endpoint.path,
      group: group.identifier,
      askedBy,
      hasEffect: annotation(HasEffect, endpoint.annotations),
      names: namesOf(endpoint.path)
    })
    neighbours.set(neighbourhood(endpoint.path), askedBy)
  }
  return {
    at: (path) => {
      for (const { pattern, routes } of places.get(firstSegment(path)) ?? []) {
        const found = pattern.exec(path)
        if (found !== null) return { routes, values: found.slice(1) }
      }
      return nothing
    },
    askedBy: (path) => neighbours.get(neighbourhood(path)) ?? "admin"
  }
}
