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
  /** The group that it belongs to, by its identifier. */
  readonly group: string
  readonly askedBy: RouteKind
  readonly hasEffect: boolean
}

/** Finds routes by path. */
export interface RouteTable {
  /** The routes of this path (without base and query), one a method; empty: there is none. */
  readonly at: (path: string) => ReadonlyArray<Route>
  /** Who may learn that there is no such route: who may ask its neighbours, else an administrator. */
  readonly askedBy: (path: string) => RouteKind
}

interface Entry extends Route {
  readonly pattern: RegExp
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
  const entries: Array<Entry> = []
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
      entries.push({
        method: endpoint.method,
        group: group.identifier,
        askedBy,
        hasEffect: annotation(HasEffect, endpoint.annotations),
        pattern: patternOf(endpoint.path)
      })
      neighbours.set(neighbourhood(endpoint.path), askedBy)
    }
  })
  return {
    at: (path) => entries.filter(({ pattern }) => pattern.test(path)),
    askedBy: (path) => neighbours.get(neighbourhood(path)) ?? "admin"
  }
}
