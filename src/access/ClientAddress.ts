/** Whose request it is: the peer's, or whom a trusted proxy says it forwards for. */
import { Either } from "effect"
import { normalizeAddress } from "../config/AccessEntry.ts"
import { AccessDenied } from "../RelayError.ts"
import type { AddressSet } from "./AddressSet.ts"

/** Some proxies name the port too: `1.2.3.4:5678`, `[::1]:80`. Without brackets, `::1:80` is all address. */
const withPort = /^(?:\[([^[\]]+)\]|([\d.]+))(?::\d{1,5})?$/

const parse = (entry: string): string | undefined => {
  const found = withPort.exec(entry)
  return normalizeAddress(found?.[1] ?? found?.[2] ?? entry)
}

const unreadable = (entry: string) =>
  new AccessDenied({
    message: `X-Forwarded-For: expected addresses, got ${JSON.stringify(entry.slice(0, 100))}`
  })

/**
 * The address that the rules look at: the peer's; when the peer is a trusted proxy, the last one in
 * `X-Forwarded-For` that is not a trusted proxy, or the first when all are.
 *
 * It reads from the end and no further than it must, since what stands before was written by whoever sent it. Fails where
 * an entry on the way is no address. So does an empty one: whom a proxy forwards for without saying, is not the one
 * named before. A header that is blank altogether counts as absent.
 *
 * @param forwardedFor all `X-Forwarded-For` headers in their order, joined by commas
 * @returns the address, as `AccessEntry.normalizeAddress` has it
 */
export const clientAddress = (
  peer: string,
  forwardedFor: string | undefined,
  trusted: AddressSet
): Either.Either<string, AccessDenied> => {
  let address = normalizeAddress(peer)
  if (address === undefined)
    return Either.left(new AccessDenied({ message: "the connection has no address" }))
  if (forwardedFor === undefined || forwardedFor.trim() === "") return Either.right(address)
  let end: number = forwardedFor.length
  while (end >= 0 && trusted(address)) {
    const comma = end === 0 ? -1 : forwardedFor.lastIndexOf(",", end - 1)
    const entry = forwardedFor.slice(comma + 1, end).trim()
    address = parse(entry)
    if (address === undefined) return Either.left(unreadable(entry))
    end = comma
  }
  return Either.right(address)
}
