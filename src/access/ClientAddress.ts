/** Whose request it is: the peer's, or whom a trusted proxy says it forwards for. */
import { Either } from "effect"
import { AccessDenied } from "../RelayError.ts"
import { type AddressSet, normalize } from "./AddressSet.ts"

/** `1.2.3.4:5678` and `[::1]:80` name a port too, as some proxies do. */
const withoutPort = (text: string): string =>
  /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text

const unreadable = (entry: string) =>
  new AccessDenied({
    message: `X-Forwarded-For: expected addresses, got ${JSON.stringify(entry.slice(0, 100))}`
  })

/**
 * The address that the rules look at: the peer's; when the peer is a trusted proxy, the last one in
 * `X-Forwarded-For` that is not a trusted proxy, or the first when all are. Fails where one that it has to look at
 * does not parse.
 */
export const clientAddress = (
  peer: string,
  forwardedFor: string | undefined,
  trusted: AddressSet
): Either.Either<string, AccessDenied> => {
  const own = normalize(peer)
  if (own === undefined) return Either.left(new AccessDenied({ message: "the connection has no address" }))
  if (forwardedFor === undefined || forwardedFor.trim() === "" || !trusted(own)) return Either.right(own)
  const entries = forwardedFor.split(",")
  let address = own
  for (let at = entries.length - 1; at >= 0; at--) {
    const entry = (entries[at] ?? "").trim()
    const next = normalize(withoutPort(entry))
    if (next === undefined) return Either.left(unreadable(entry))
    address = next
    if (!trusted(address)) break
  }
  return Either.right(address)
}
