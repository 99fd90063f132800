/** Requests and how long they took, by route and status. */
import * as Counters from "../Counters.ts"
import type { Route } from "./RouteTable.ts"

/** Seconds: from what memory answers to what waits for the policy server. */
const bounds = Counters.bounds([
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60
])

interface Series {
  readonly count: () => void
  readonly took: (seconds: number) => void
}

/** Methods that a request to no route may have, as a label. */
const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])

const none = { method: "other", path: "none" }

const makeSeries = ({ method, path: route }: Pick<Route, "method" | "path">, status: number): Series => {
  const labels = { method, route, status: String(status) }
  return {
    count: Counters.counter("requests_total", "Requests that were answered", labels),
    took: Counters.histogram(
      "request_seconds",
      "Time from a request's head to its answer's; where the answer is a stream, to its beginning",
      bounds,
      labels
    )
  }
}

/**
 * Counts a request that has been answered.
 *
 * @param route undefined: there is none at its path
 */
export type RequestMetrics = (
  route: Route | undefined,
  method: string,
  status: number,
  seconds: number
) => void

const found = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}

/** Each series is looked up by its route, which is a value of the table, and its status. */
export const make = (): RequestMetrics => {
  const known = new Map<object, Map<number, Series>>()
  const strangers = new Map([...methods].map((method) => [method, { method, path: none.path }] as const))
  return (route, method, status, seconds) => {
    const key = route ?? strangers.get(method) ?? none
    const ofRoute = found(known, key, () => new Map<number, Series>())
    const series = found(ofRoute, status, () => makeSeries(key, status))
    series.count()
    series.took(seconds)
  }
}
