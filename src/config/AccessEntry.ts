/** One entry of an access rule: the only reader of it, for the configuration and for the rules in force. */
import { isIPv4, isIPv6, SocketAddress } from "node:net"
import { Option } from "effect"
import { isResolvable } from "../Hostname.ts"

/** An address is a network of one. */
export type AccessEntry =
  | { readonly _tag: "Network"; readonly address: string; readonly prefix: number }
  | { readonly _tag: "Name"; readonly name: string }

/** Those that every relay has. */
const usual: ReadonlySet<string> = new Set(["::", "::1"])

/**
 * 4 or 6; 0 for what is no address: as `isIP` of `node:net`, whose pattern for IPv6 is compiled when it is used first, for 5 ms
 * of a start that needs none.
 */
export const familyOf = (text: string): 0 | 4 | 6 => {
  if (!text.includes(":")) return isIPv4(text) ? 4 : 0
  return usual.has(text) || isIPv6(text) ? 6 : 0
}

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
export const normalizeAddress = (text: string): string | undefined => {
  const family = familyOf(text)
  if (family !== 6) return family === 4 ? text : undefined
  const address = canonical(text)
  return mapped.exec(address)?.[1] ?? address
}

const network = (address: string, prefix: number): Option.Option<AccessEntry> =>
  Option.some({ _tag: "Network", address, prefix })

const parseNetwork = (text: string, bits: string | undefined): Option.Option<AccessEntry> => {
  const isV4 = familyOf(text) === 4
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

/** Reads `10.0.0.0/8`, `fe80::1%eth0`, `relay.example.com`; none for what is neither address, CIDR nor host name. */
export const parse = (text: string): Option.Option<AccessEntry> => {
  const [address = "", bits, ...more] = text.split("/")
  if (familyOf(address) !== 0) return more.length === 0 ? parseNetwork(address, bits) : Option.none()
  return isResolvable(text) ? Option.some({ _tag: "Name", name: text }) : Option.none()
}
