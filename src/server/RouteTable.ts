/**
 * The routes of an API by path: which methods there are (the router says of a wrong method only that it does not match),
 * who may ask, and which of them have an effect.
 */
import { HttpApi, type HttpApiGroup } from "@effect/platform"
import { Context } from "effect"
import { AskedBy, HasEffect, type RouteKind } from "../access/RouteAccess.ts"

/** A route as its API has it. */
export interface Route {
  readonly method: string
  /** With its parameters by name, as the API has it: `/remote-run/runs/:id`. */
  readonly path: string
  /** The group that it belongs to, by its identifier. */
  readonly group: string
  readonly askedBy: RouteKind
  readonly hasEffect: boolean
}

/** Finds routes by path. */
export interface RouteTable {
  /**
   * The routes of this path (without base and query), one a method; empty: there is none. Of two that match, that counts
   * which says more of the path itself, as OpenAPI has it: `/a/b` before `/a/:id`.
   */
  readonly at: (path: string) => ReadonlyArray<Route>
  /** Who may learn that there is no such route: who may ask its neighbours, else an administrator. */
  readonly askedBy: (path: string) => RouteKind
}

interface Entry extends Route {
  readonly pattern: RegExp
  /** The greater of two, as texts, says more of the path itself. */
  readonly precision: string
}

/** `/a/:b/*` as a pattern. */
const patternOf = (path: string): RegExp => {
  const segments = path
    .split("/")
    .map((segment) =>
      segment.startsWith(":")
        ? "[^/]+"
        : segment === "*"
          ? ".*"
          : segment.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
    )
  return new RegExp(`^${segments.join("/")}$`)
}

/** A digit for each segment. */
const precisionOf = (path: string): string =>
  path
    .split("/")
    .map((segment) => (segment.startsWith(":") ? "1" : segment === "*" ? "0" : "2"))
    .join("")

const later = (one: string, other: string): string => (one > other ? one : other)

/** The first segment of a path, where the path begins with a slash. */
const firstSegment = (path: string): string => {
  const end = path.indexOf("/", 1)
  return end === -1 ? path : path.slice(0, end)
}

/** The first segment of a path and the slash behind it; undefined where there is no such slash. */
const neighbourhood = (path: string): string | undefined => /^\/[^/]*\//.exec(path)?.[0]

/**
 * Reads the annotations of every endpoint.
 *
 * @throws Error that names the endpoint which does not say who may ask it, or whether it has an effect.
 */
export const make = <Id extends string, Groups extends HttpApiGroup.HttpApiGroup.Any, E, R>(
  api: HttpApi.HttpApi<Id, Groups, E, R>
): RouteTable => {
  /** By the first segment of their paths, which is always text. */
  const entries = new Map<string, Array<Entry>>()
  const neighbours = new Map<string | undefined, RouteKind>()
  HttpApi.reflect(api, {
    onGroup: () => {},
    onEndpoint: ({ endpoint, group, mergedAnnotations }) => {
      const annotation = <I, A>(tag: Context.Tag<I, A>, annotations: Context.Context<never>): A => {
        const value = Context.getOption(annotations, tag)
        if (value._tag === "Some") return value.value
        throw new Error(`endpoint ${group.identifier}.${endpoint.name} has no annotation ${tag.key}`)
      }
      const askedBy = annotation(AskedBy, mergedAnnotations)
      const first = firstSegment(endpoint.path)
      if (/^\/[:*]/.test(first))
        throw new Error(`endpoint ${group.identifier}.${endpoint.name}: expected its path to begin with text`)
      const beside = entries.get(first) ?? []
      entries.set(first, beside)
      beside.push({
        method: endpoint.method,
        path: endpoint.path,
        group: group.identifier,
        askedBy,
        hasEffect: annotation(HasEffect, endpoint.annotations),
        pattern: patternOf(endpoint.path),
        precision: precisionOf(endpoint.path)
      })
      neighbours.set(neighbourhood(endpoint.path), askedBy)
    }
  })
  return {
    at: (path) => {
      const matching = (entries.get(firstSegment(path)) ?? []).filter(({ pattern }) => pattern.test(path))
      const best = matching.map(({ precision }) => precision).reduce(later, "")
      return matching.filter(({ precision }) => precision === best)
    },
    askedBy: (path) => neighbours.get(neighbourhood(path)) ?? "admin"
  }
}
