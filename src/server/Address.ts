/**
 * What a request is addressed to: all that its method and its target say, which is the same whenever they come again. So it
 * is kept of what is asked for again and again: a HEAD takes a quarter less work. Who may ask, and what is answered, is
 * found out each time.
 */
import { originForm, strip } from "../http/BasePath.ts"
import type * as RawHandlers from "../http/RawHandlers.ts"
import type { Match, Route, RouteTable } from "./RouteTable.ts"

/** A method and a target, read. */
export interface Address {
  readonly method: string
  /** As it came. */
  readonly target: string
  /** Under the base path that decides the dialect of remote runs. */
  readonly versioned: boolean
  /** Below the base: path and query. */
  readonly url: string
  /** Below the base, without the query. */
  readonly path: string
  /** What is behind the `?`. */
  readonly query: string
  readonly match: Match
  /** The one of the routes there that has the method. */
  readonly route: Route | undefined
  /** What requests for it are about, for the log. */
  readonly about: () => Readonly<Record<string, unknown>>
  /** What answers them, as it was made when that was asked for first: a handler of our own that has read this. */
  answer: RawHandlers.Answer | undefined
}

const routeOf = ({ routes }: Match, method: string): Route | undefined => {
  for (const route of routes) if (route.method === method) return route
  return undefined
}

/** What can't be decoded does not get to its route. */
const decoded = (text: string): string => {
  if (!text.includes("%")) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** The parameters in a path, by their names. */
export const parametersOf = ({ names }: Route, values: ReadonlyArray<string>): Record<string, string> => {
  const parameters: Record<string, string> = {}
  let at = 0
  for (const name of names) parameters[name] = decoded(values[at++] ?? "")
  return parameters
}

/** What the log calls the parameters of paths, where it has another name. */
const fields: Readonly<Record<string, string>> = { uuid: "nodes", target_uuid: "target", "*": "path" }

/** What a request was about, as far as its path says so. */
const aboutPath = (route: Route | undefined, values: ReadonlyArray<string>) => {
  if (route === undefined) return {}
  const id = route.path.startsWith("/remote-run/") ? "run" : "entry"
  const said: Record<string, string> = {}
  let at = 0
  for (const name of route.names)
    said[name === "id" ? id : (fields[name] ?? name)] = decoded(values[at++] ?? "")
  return said
}

/** Reads a target, as it came. */
const read = (routes: RouteTable, method: string, target: string): Address => {
  // A path outside both bases is nobody's: checked like the rest, and not found.
  const { versioned, url } = strip(originForm(target).url) ?? { versioned: false, url: "/" }
  const end = url.indexOf("?")
  const path = end === -1 ? url : url.slice(0, end)
  const match = routes.at(path)
  const route = routeOf(match, method)
  return {
    method,
    target,
    versioned,
    url,
    path,
    query: end === -1 ? "" : url.slice(end + 1),
    match,
    route,
    about: () => aboutPath(route, match.values),
    answer: undefined
  }
}

/** So many are kept. */
const most = 2000
/**
 * Of more than those, that many have to be found before others take the place of what is kept: where all of them come in turn,
 * to keep each and forget it before it comes again would cost more than to read it.
 */
const mostPassed = 10 * most
/** Characters. Of what is asked for often no target is longer. */
const longest = 512

/** Addresses that were read before. */
export interface KnownAddresses {
  /** Reads one, where it is not known. */
  readonly of: (method: string, target: string) => Address
  /**
   * To be called of what was found where it is addressed to. Nobody who may not ask, and nobody who makes up names, has
   * anything kept.
   */
  readonly keep: (address: Address) => void
}

/** Of these routes; none is known yet. */
export const known = (routes: RouteTable): KnownAddresses => {
  const kept = new Map<string, Address>()
  let passed = 0
  return {
    of: (method, target) => {
      const found = kept.get(target)
      return found !== undefined && found.method === method ? found : read(routes, method, target)
    },
    keep: (address) => {
      if (address.target.length > longest || kept.get(address.target) === address) return
      if (kept.size >= most) {
        if (++passed < mostPassed) return
        passed = 0
        kept.clear()
      }
      kept.set(address.target, address)
    }
  }
}
