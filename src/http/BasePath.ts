/** The two paths under which every route stands. */
import { Context } from "effect"

/** The path under which every route stands. */
export const base = "/rudder/relay-api"
/** The same routes, as existing installations call them; decides the dialect of remote runs. */
export const versionedBase = `${base}/1`

const root = `${base}/`
const versionedRoot = `${versionedBase}/`

/** Routes that are at the root of the server too. */
const atRoot: ReadonlySet<string> = new Set(["/metrics"])

/** How the request that is being answered was addressed. */
export class BasePath extends Context.Reference<BasePath>()("rudder-relay/BasePath", {
  defaultValue: () => ({ versioned: false })
}) {}

/** A request's address below the base. */
export interface Stripped {
  readonly versioned: boolean
  /** The path below the base and the query: begins with `/`. */
  readonly url: string
}

/** `http://host/path`: what proxies are asked, and every server has to understand (RFC 9112, 3.2.2). */
const absoluteForm = /^https?:\/\/([^/?#]*)(.*)$/is

/** A request's target as path and query, and the host where the target itself names one. */
export const originForm = (target: string): { readonly url: string; readonly host?: string } => {
  if (target.startsWith("/")) return { url: target }
  const [, host, rest] = absoluteForm.exec(target) ?? []
  if (host === undefined || rest === undefined) return { url: target }
  return { host, url: rest.startsWith("/") ? rest : `/${rest}` }
}

/** Takes the base off a request's URL in origin form; undefined where it is under neither, nor one of those at the root. */
export const strip = (url: string): Stripped | undefined => {
  if (url.startsWith(versionedRoot)) return { versioned: true, url: url.slice(versionedBase.length) }
  if (url.startsWith(root)) return { versioned: false, url: url.slice(base.length) }
  return atRoot.has(url.split("?")[0] ?? "") ? { versioned: false, url } : undefined
}
