/**
 * No web page may make a browser start something here. Those who call this API send neither `Origin` nor
 * `Sec-Fetch-Site`; a browser sends at least one of them with what another site's page asks of it.
 */

import { isIP } from "node:net"
import { Either } from "effect"
import { AccessDenied } from "../RelayError.ts"

/** What the check looks at. */
export interface BrowserRequest {
  readonly host: string | undefined
  readonly origin: string | undefined
  readonly fetchSite: string | undefined
  readonly encrypted: boolean
  /** The connection came in on a loopback address. */
  readonly loopback: boolean
}

const denied = (message: string): Either.Either<void, AccessDenied> =>
  Either.left(new AccessDenied({ message }))

/** A `Host` as the name alone, in lower case, without port, brackets and final dot. */
const hostName = (host: string): string =>
  host
    .trim()
    .toLowerCase()
    .replace(/:\d*$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "")

/** Whether an origin is the very place that the request was sent to. `null` is no place. */
const isOwnOrigin = (origin: string, { host, encrypted }: BrowserRequest): boolean => {
  if (host === undefined || !URL.canParse(origin)) return false
  const own = `${encrypted ? "https" : "http"}://${host}`
  return URL.canParse(own) && new URL(origin).origin === new URL(own).origin
}

/**
 * Refuses what another site's page sent: by its `Origin` or `Sec-Fetch-Site`, and, on a plain loopback listener, which
 * any name can be made to point to, by a `Host` that is neither an address, nor `localhost`, nor one of `hosts`.
 */
export const check = (
  request: BrowserRequest,
  hosts: ReadonlyArray<string>
): Either.Either<void, AccessDenied> => {
  const { fetchSite, host, origin } = request
  if (fetchSite !== undefined && fetchSite !== "same-origin" && fetchSite !== "none")
    return denied(`Sec-Fetch-Site: a page of another site asked for this`)
  if (origin !== undefined && !isOwnOrigin(origin, request))
    return denied("Origin: a page of another site asked for this")
  if (host === undefined || request.encrypted || !request.loopback) return Either.void
  const name = hostName(host)
  const known =
    isIP(name) !== 0 || name === "localhost" || hosts.some((allowed) => allowed.toLowerCase() === name)
  return known ? Either.void : denied("Host: expected an address, localhost, or a name of access.hosts")
}
