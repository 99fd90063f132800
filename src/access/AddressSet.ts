/** A set of addresses, as the access rules have it: CIDRs, addresses and host names. */
import { BlockList, isIP, SocketAddress } from "node:net"
import { Option } from "effect"

/** Any address. */
export const any: ReadonlyArray<string> = ["0.0.0.0/0", "::/0"]
export const loopback: ReadonlyArray<string> = ["127.0.0.0/8", "::1"]

/** One entry of a rule. An address is a network of one. */
export type Entry =
  | { readonly _tag: "Network"; readonly address: string; readonly prefix: number }
  | { readonly _tag: "Name"; readonly name: string }

/** Whether an address is in the set. Text that is no address is in none. */
export type AddressSet = (address: string) => boolean

/** As inet_ntop prints an IPv4 address in IPv6. */
const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/
const mappedBits = 96

/** An IPv6 address in its one canonical spelling, without zone. */
const canonical = (address: string): string =>
  new SocketAddress({ address: address.split("%")[0] ?? "", family: "ipv6" }).address

/**
 * An address as it is compared and logged, so that one address has one text: IPv6 in canonical spelling and without its
 * zone, an IPv4 address in IPv6 (`::ffff:10.0.0.1`, `::ffff:a00:1`) as the IPv4 address. Undefined for other text.
 */
export const normalize = (text: string): string | undefined => {
  const family = isIP(text)
  if (family !== 6) return family === 4 ? text : undefined
  const address = canonical(text)
  return mapped.exec(address)?.[1] ?? address
}

const network = (address: string, prefix: number): Option.Option<Entry> =>
  Option.some({ _tag: "Network", address, prefix })

const parseNetwork = (text: string, bits: string | undefined): Option.Option<Entry> => {
  const isV4 = isIP(text) === 4
  const width = isV4 ? 32 : 128
  const prefix = bits === undefined ? width : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN
  if (!(prefix <= width)) return Option.none()
  if (isV4) return network(text, prefix)
  const address = canonical(text)
  const inner = mapped.exec(address)?.[1]
  return inner !== undefined && prefix >= mappedBits
    ? network(inner, prefix - mappedBits)
    : network(address, prefix)
}

/** What ends in a number is an address or a mistake in one: resolvers would take `10.1` for 10.0.0.1. */
const hostName = /^(?=.{1,253}$)[A-Za-z0-9][A-Za-z0-9._-]*$/
const endsInNumber = /(^|\.)(\d+|0x[0-9a-f]*)\.?$/i

/** Reads `10.0.0.0/8`, `fe80::1%eth0`, `relay.example.com`; none for what is neither address, CIDR nor host name. */
export const parseEntry = (text: string): Option.Option<Entry> => {
  const [address = "", bits, ...more] = text.split("/")
  if (isIP(address) !== 0) return more.length === 0 ? parseNetwork(address, bits) : Option.none()
  return hostName.test(text) && !endsInNumber.test(text)
    ? Option.some({ _tag: "Name", name: text })
    : Option.none()
}

/** The set of these addresses and CIDRs. Names, and what `parseEntry` does not take, add nothing. */
export const make = (entries: Iterable<string>): AddressSet => {
  // One list a family: in a common one, `::/0` would have every IPv4 address too.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const text of entries) {
    const entry = Option.getOrUndefined(parseEntry(text))
    if (entry?._tag !== "Network") continue
    const family = isIP(entry.address) === 4 ? "ipv4" : "ipv6"
    lists[family].addSubnet(entry.address, entry.prefix, family)
  }
  return (text) => {
    const address = normalize(text)
    if (address === undefined) return false
    const family = isIP(address) === 4 ? "ipv4" : "ipv6"
    return lists[family].check(address, family)
  }
}
