/** Which addresses count as one, where a bound is for each address. */
import { isIP } from "node:net"
import { normalizeAddress } from "../config/AccessEntry.ts"

/** So many groups of 16 bits of an IPv6 address are the network's; the others one machine can choose by itself. */
const networkGroups = 4

/** The groups of one side of the `::`. What is written as IPv4 stands for two of them. */
const groupsOf = (side: string): ReadonlyArray<string> =>
  side.split(":").flatMap((group) => (group === "" ? [] : group.includes(".") ? ["0", "0"] : [group]))

/**
 * One text for all addresses that count as one: an IPv4 address by itself, an IPv6 address with its /64. Other text is
 * taken as it is.
 */
export const of = (text: string): string => {
  const address = normalizeAddress(text)
  if (address === undefined || isIP(address) === 4) return address ?? text
  const [before = "", after] = address.split("::")
  const head = groupsOf(before)
  const missing = after === undefined ? 0 : 8 - head.length - groupsOf(after).length
  const groups = [...head, ...Array.from({ length: missing }, () => "0"), ...groupsOf(after ?? "")]
  return `${groups.slice(0, networkGroups).join(":")}::/64`
}
