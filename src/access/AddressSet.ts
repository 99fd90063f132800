/** A set of addresses, CIDRs and host names. IPv4, IPv6, and IPv4 in IPv6 (`::ffff:10.0.0.1` is `10.0.0.1`). */
import { BlockList, isIP } from "node:net"

/** Any address. */
export const any: ReadonlyArray<string> = ["0.0.0.0/0", "::/0"]
export const loopback: ReadonlyArray<string> = ["127.0.0.0/8", "::1"]

const mapped = /^::ffff:(?:0:)?(\d{1,3}(?:\.\d{1,3}){3})$/i

/** An address as it is compared: without zone, and an IPv4 address in IPv6 as the IPv4 address. None for other text. */
export const normalize = (text: string): string | undefined => {
  const address = text.replace(/%.*$/, "")
  if (isIP(address) === 0) return undefined
  return mapped.exec(address)?.[1] ?? address
}

/** Entries that are names have to be resolved. */
export const isName = (entry: string): boolean => isIP(entry.split("/")[0] ?? "") === 0

const add = (list: BlockList, entry: string): void => {
  const [address = "", bits] = entry.split("/")
  const family = isIP(address) === 6 ? "ipv6" : "ipv4"
  if (bits === undefined)
    list.addAddress(normalize(address) ?? address, isIP(normalize(address) ?? "") === 6 ? "ipv6" : "ipv4")
  else list.addSubnet(address, Number(bits), family)
}

/** Whether an address is in the set. Text that is no address is in none. */
export type AddressSet = (address: string) => boolean

/** The set of these addresses and CIDRs; names in it must have been resolved. */
export const make = (entries: Iterable<string>): AddressSet => {
  const list = new BlockList()
  for (const entry of entries) add(list, entry)
  return (text) => {
    const address = normalize(text)
    return address !== undefined && list.check(address, isIP(address) === 6 ? "ipv6" : "ipv4")
  }
}
