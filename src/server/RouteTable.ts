/** Which methods a path of the API has: the router says of a wrong method only that it does not match. */
import { HttpApi, type HttpApiGroup } from "@effect/platform"

interface Entry {
  readonly method: string
  readonly pattern: RegExp
}

export interface RouteTable {
  /** The methods of this path (without base and query); empty: no such route. */
  readonly methods: (path: string) => ReadonlyArray<string>
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

export const make = <Id extends string, Groups extends HttpApiGroup.HttpApiGroup.Any, E, R>(
  api: HttpApi.HttpApi<Id, Groups, E, R>
): RouteTable => {
  const entries: Array<Entry> = []
  HttpApi.reflect(api, {
    onGroup: () => {},
    onEndpoint: ({ endpoint }) => entries.push({ method: endpoint.method, pattern: patternOf(endpoint.path) })
  })
  return {
    methods: (path) => [
      ...new Set(entries.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method))
    ]
  }
}
