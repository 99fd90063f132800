/**
 * No web page may make a browser start something here. Those who call this API send neither `Origin` nor
 * `Sec-Fetch-Site`; a browser sends at least one of them with what another site's page asks of it.
 *
 * What is compared is what this server sees. A proxy that rewrites `Host` (Apache's `ProxyPass` does) makes the page's own
 * origin another one, and that is refused too: telling it from a name that was made to point here is not possible.
 */
import { isIP } from "node:net"
import { Either } from "effect"
import { AccessDenied } from "../RelayError.ts"

/** What the check looks at: headers as they came, and the connection. */
export interface BrowserRequest {
  readonly host: string | undefined
  readonly origin: string | undefined
  readonly fetchSite: string | undefined
  /**
   * `User-Agent`. Browsers leave `Sec-Fetch-Site` out towards plain HTTP elsewhere than on loopback, and `Origin` from a
   * GET, such as an image's; where this is given, a browser that says neither is refused.
   */
  readonly userAgent?: string | undefined
  readonly encrypted: boolean
  /** Listening on a loopback address. */
  readonly loopback: boolean
}

const denied = (message: string): Either.Either<void, AccessDenied> =>
  Either.left(new AccessDenied({ message }))

const hostAndPort = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d*)?$/

/** A host as it is compared: in lower case, without brackets and final dot. */
const comparable = (host: string): string => {
  const lower = host.toLowerCase()
  const bare = lower.startsWith("[") && lower.endsWith("]") ? lower.slice(1, -1) : lower
  return bare.endsWith(".") ? bare.slice(0, -1) : bare
}

/** The name or address in a `Host` header; undefined where that is not of its form. */
const nameOf = (host: string): string | undefined => {
  const name = hostAndPort.exec(host)?.[1]
  return name === undefined ? undefined : comparable(name)
}

/** Whether an origin is the very place that the request was sent to: scheme, host and port. `null` is no place. */
const isOwnOrigin = (origin: string, { host, encrypted }: BrowserRequest): boolean => {
  if (host === undefined || !hostAndPort.test(host)) return false
  const own = `${encrypted ? "https" : "http"}://${host}`
  return URL.canParse(own) && URL.canParse(origin) && new URL(origin).origin === new URL(own).origin
}

const isKnownHost = (host: string, hosts: ReadonlyArray<string>): boolean => {
  const name = nameOf(host)
  if (name === undefined) return false
  return isIP(name) !== 0 || name === "localhost" || hosts.some((known) => comparable(known) === name)
}

/**
 * Refuses what another site's page sent: by its `Origin` or `Sec-Fetch-Site`, and, on a plain loopback listener, which
 * any name can be made to point to, by a `Host` that is neither an address, nor `localhost`, nor one of `hosts`.
 */
export const check = (
  request: BrowserRequest,
  hosts: ReadonlyArray<string>
): Either.Either<void, AccessDenied> => {
  const { encrypted, fetchSite, host, loopback, origin, userAgent } = request
  if (fetchSite !== undefined && fetchSite !== "same-origin" && fetchSite !== "none")
    return denied("Sec-Fetch-Site: a page of another site asked for this")
  if (origin !== undefined && !isOwnOrigin(origin, request))
    return denied("Origin: a page of another site asked for this")
  if (fetchSite === undefined && origin === undefined && userAgent?.startsWith("Mozilla/") === true)
    return denied("User-Agent: a browser has to say whose page asks for this, by Sec-Fetch-Site or Origin")
  if (!encrypted && loopback && host !== undefined && !isKnownHost(host, hosts))
    return denied(
      "Host: expected an address, localhost, or a name of access.hosts in the relay's configuration"
    )
  return Either.void
}
