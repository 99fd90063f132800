/** A set of addresses, as the access rules have it: CIDRs, addresses and host names. */
import { BlockList } from "node:net"
import { Option } from "effect"
import * as AccessEntry from "../config/AccessEntry.ts"

/** Any address. */
export const any: ReadonlyArray<string> = ["0.0.0.0/0", "::/0"]
/** Every address of this machine for itself, of both families. */
export const loopback: ReadonlyArray<string> = ["127.0.0.0/8", "::1"]

/** Whether an address is in the set. Text that is no address is in none. */
export type AddressSet = (address: string) => boolean

/** So many answers are kept: those who call are the same few, and to ask a list would be a fifth of a HEAD's work. */
const mostKnown = 1000
/** No address is longer, but for one with a zone. */
const longestKnown = 45

/** The set of these addresses and CIDRs. Names, and what `AccessEntry.parse` does not take, add nothing. */
export const make = (entries: Iterable<string>): AddressSet => {
  // One list a family: in a common one, `::/0` would have every IPv4 address too.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const text of entries) {
    const entry = Option.getOrUndefined(AccessEntry.parse(text))
    if (entry?._tag !== "Network") continue
    const family = AccessEntry.familyOf(entry.address) === 4 ? "ipv4" : "ipv6"
    lists[family].addSubnet(entry.address, entry.prefix, family)
  }
  const has: AddressSet = (text) => {
    const address = AccessEntry.normalizeAddress(text)
    if (address === undefined) return false
    const family = AccessEntry.familyOf(address) === 4 ? "ipv4" : "ipv6"
    return lists[family].check(address, family)
  }
  const known = new Map<string, boolean>()
  return (text) => {
    const found = known.get(text)
    if (found !== undefined) return found
    const answer = has(text)
    if (text.length > longestKnown) return answer
    if (known.size >= mostKnown) known.clear()
    known.set(text, answer)
    return answer
  }
}
