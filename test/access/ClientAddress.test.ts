import { describe, expect, it } from "@effect/vitest"
import { Either, FastCheck } from "effect"
import * as AddressSet from "../../src/access/AddressSet.ts"
import { clientAddress } from "../../src/access/ClientAddress.ts"
import * as AccessEntry from "../../src/config/AccessEntry.ts"

const trusted = AddressSet.make([...AddressSet.loopback, "10.0.0.0/8", "fd00::/8"])

/** The address, or the refusal's message. */
const of = (peer: string, forwardedFor: string | undefined, proxies = trusted) =>
  Either.match(clientAddress(peer, forwardedFor, proxies), {
    onLeft: ({ message }) => `refused: ${message}`,
    onRight: (address) => address
  })

describe("the client's address", () => {
  it.each<[what: string, peer: string, forwardedFor: string | undefined, address: string]>([
    ["is the peer's", "192.0.2.1", undefined, "192.0.2.1"],
    ["is the peer's, as an IPv4 address", "::ffff:192.0.2.1", undefined, "192.0.2.1"],
    ["is the peer's without its zone", "fe80::1%eth0", undefined, "fe80::1"],
    ["is the peer's when that is no trusted proxy", "192.0.2.1", "127.0.0.1", "192.0.2.1"],
    ["is the peer's when that is no trusted proxy, and sends nonsense", "192.0.2.1", "nonsense", "192.0.2.1"],
    ["is the trusted proxy's when that forwards for nobody", "127.0.0.1", undefined, "127.0.0.1"],
    ["is the trusted proxy's when the header is blank", "127.0.0.1", "  ", "127.0.0.1"],
    ["is whom the proxy forwards for", "127.0.0.1", "192.0.2.1", "192.0.2.1"],
    ["is so over IPv4 in IPv6 too", "::ffff:127.0.0.1", "::ffff:192.0.2.1", "192.0.2.1"],
    ["is not what the client claims", "::1", "127.0.0.1, 192.0.2.1", "192.0.2.1"],
    ["is the last that is not a proxy", "::1", "198.51.100.1, 192.0.2.1,10.0.0.2 ,\t10.0.0.1", "192.0.2.1"],
    ["is the first when all are proxies", "::1", "10.0.0.3, 10.0.0.2", "10.0.0.3"],
    ["stands before what need not be read", "::1", "unknown, , 192.0.2.1", "192.0.2.1"],
    ["may come with a port", "::1", "192.0.2.1:5678", "192.0.2.1"],
    ["may come in brackets with a port", "::1", "[2001:DB8::1]:80", "2001:db8::1"],
    ["may come in brackets", "::1", "[2001:db8::1]", "2001:db8::1"],
    ["without brackets has no port", "::1", "2001:db8::1:80", "2001:db8::1:80"]
  ])("%s", (_, peer, forwardedFor, address) => {
    expect(of(peer, forwardedFor)).toBe(address)
  })

  it.each([
    "unknown",
    "_hidden",
    "localhost",
    "1.2.3",
    "1.2.3.4:",
    "1.2.3.4:123456",
    "1.2.3.4:x",
    "[::1",
    "::1]",
    "[[::1]]",
    "[1.2.3.4]]:80",
    '"192.0.2.1"',
    "for=192.0.2.1",
    "192.0.2.1;10.0.0.1",
    "192.0.2.1 10.0.0.1",
    ",",
    "192.0.2.1,",
    "192.0.2.1, ,10.0.0.1",
    ",10.0.0.1",
    "unknown, 10.0.0.1",
    "\u0000",
    "١.2.3.4"
  ])("is refused in %j", (forwardedFor) => {
    expect(of("127.0.0.1", forwardedFor)).toMatch(/^refused: X-Forwarded-For: expected addresses, got /)
  })

  it("is refused on a connection that is gone", () => {
    expect(of("", undefined)).toBe("refused: the connection has no address")
    expect(of("", "192.0.2.1")).toBe("refused: the connection has no address")
  })

  it("is told in few words, however long the entry", () => {
    expect(of("::1", "x".repeat(100_000)).length).toBeLessThan(200)
  })

  it("looks at each entry of a long list once, and at none before the one it takes", () => {
    const counting = (limit: number) => {
      const seen = { count: 0 }
      const proxies = (address: string) => {
        seen.count++
        return trusted(address) && seen.count <= limit
      }
      const header = Array.from({ length: 10_000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`).join(
        ", "
      )
      return { address: of("127.0.0.1", header, proxies), seen: seen.count }
    }
    expect(counting(Number.POSITIVE_INFINITY)).toEqual({ address: "10.0.0.0", seen: 10_000 })
    expect(counting(2)).toEqual({ address: "10.0.39.14", seen: 3 })
  })
})

const proxy = FastCheck.nat(255).map((last) => `10.0.0.${last}`)
const stranger = FastCheck.nat(255).map((last) => `192.0.2.${last}`)
const separator = FastCheck.constantFrom(",", ", ", " ,\t")

describe("whatever X-Forwarded-For says, the client's address", () => {
  it.prop(
    "is the last stranger, and a proxy only where there is no stranger",
    [FastCheck.array(FastCheck.oneof(proxy, stranger), { minLength: 1 }), separator],
    ([entries, comma]) => {
      const expected = entries.findLast((address) => !trusted(address)) ?? entries[0]
      expect(of("127.0.0.1", entries.join(comma))).toBe(expected)
    }
  )

  it.prop(
    "does not depend on what the client put before",
    [FastCheck.string({ unit: "binary" }), stranger, FastCheck.array(proxy)],
    ([claim, client, proxies]) => {
      expect(of("::1", [claim, client, ...proxies].join(","))).toBe(client)
    }
  )

  it.prop(
    "is the same for IPv4 addresses in IPv6",
    [FastCheck.array(FastCheck.oneof(proxy, stranger))],
    ([entries]) => {
      const mapped = entries.map((address) => `::ffff:${address}`)
      expect(of("::ffff:127.0.0.1", mapped.join())).toBe(of("127.0.0.1", entries.join()))
    }
  )

  it.prop(
    "is an address or refused, and never an exception",
    [
      FastCheck.oneof(FastCheck.string({ unit: "binary" }), FastCheck.ipV4(), FastCheck.ipV6()),
      FastCheck.oneof(
        FastCheck.string({ unit: "binary" }),
        FastCheck.stringMatching(/^[0-9a-f:.,[\]% ]*$/),
        FastCheck.array(FastCheck.oneof(FastCheck.ipV6(), FastCheck.constantFrom("", " ", "[", "]:1"))).map(
          String
        )
      )
    ],
    ([peer, forwardedFor]) => {
      const result = clientAddress(peer, forwardedFor, () => true)
      if (Either.isRight(result)) expect(AccessEntry.normalizeAddress(result.right)).toBe(result.right)
    }
  )
})
