import { isIPv6 } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { FastCheck, Option } from "effect"
import * as AddressSet from "../../src/access/AddressSet.ts"
import * as AccessEntry from "../../src/config/AccessEntry.ts"

const octets = FastCheck.tuple(FastCheck.nat(255), FastCheck.nat(255), FastCheck.nat(255), FastCheck.nat(255))
const v4 = octets.map((bytes) => bytes.join("."))

/** The ways to write an IPv4 address in IPv6. */
const mappedForms = ([a, b, c, d]: readonly [number, number, number, number]) => {
  const hex = (high: number, low: number) => ((high << 8) | low).toString(16)
  return [
    `::ffff:${a}.${b}.${c}.${d}`,
    `::FFFF:${hex(a, b)}:${hex(c, d)}`,
    `0:0:0:0:0:ffff:${a}.${b}.${c}.${d}`,
    `0000:0000::0:FFFF:${hex(a, b)}:${hex(c, d)}%eth0`
  ]
}

describe("an address", () => {
  it.each([
    ["127.0.0.1", "127.0.0.1"],
    ["::ffff:127.0.0.1", "127.0.0.1"],
    ["::1", "::1"],
    ["0:0:0:0:0:0:0:1", "::1"],
    ["2001:DB8::0:1", "2001:db8::1"],
    ["fe80::1%eth0", "fe80::1"],
    ["", undefined],
    ["127.1", undefined],
    ["0x7f.0.0.1", undefined],
    ["010.0.0.1", undefined],
    ["1.2.3.4 ", undefined],
    ["1.2.3.4%eth0", undefined],
    ["::1%", undefined],
    ["[::1]", undefined],
    ["1.2.3.4\n", undefined],
    ["localhost", undefined]
  ])("%j is compared as %j", (text, expected) => {
    expect(AccessEntry.normalizeAddress(text)).toBe(expected)
  })

  it.prop("has one text, however it is written", [octets], ([bytes]) => {
    expect(new Set(mappedForms(bytes).map(AccessEntry.normalizeAddress))).toEqual(new Set([bytes.join(".")]))
  })

  it.prop("in IPv6 stays itself when read again", [FastCheck.ipV6()], ([address]) => {
    const once = AccessEntry.normalizeAddress(address)
    expect(once).toBeDefined()
    expect(AccessEntry.normalizeAddress(once ?? "")).toBe(once)
  })

  it.prop("is nothing but an address", [FastCheck.string({ unit: "binary" })], ([text]) => {
    const address = AccessEntry.normalizeAddress(text)
    if (address !== undefined) expect(AccessEntry.normalizeAddress(address)).toBe(address)
  })
})

describe("an entry", () => {
  const network = (address: string, prefix: number) => ({ _tag: "Network", address, prefix })
  it.each([
    ["10.0.0.0/8", network("10.0.0.0", 8)],
    ["10.0.0.1", network("10.0.0.1", 32)],
    ["0.0.0.0/0", network("0.0.0.0", 0)],
    ["::/0", network("::", 0)],
    ["::1", network("::1", 128)],
    ["FE80::1%eth0/64", network("fe80::1", 64)],
    ["::ffff:10.0.0.0/104", network("10.0.0.0", 8)],
    ["::ffff:10.0.0.1", network("10.0.0.1", 32)],
    ["::ffff:10.0.0.1/64", network("::ffff:10.0.0.1", 64)],
    ["relay.example.com", { _tag: "Name", name: "relay.example.com" }],
    ["3com", { _tag: "Name", name: "3com" }],
    ["localhost", { _tag: "Name", name: "localhost" }]
  ])("may be %s", (text, entry) => {
    expect(AccessEntry.parse(text)).toEqual(Option.some(entry))
  })

  it.each([
    "",
    "/8",
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
    "10.0.0.0/0x8",
    "10.0.0.0/255.0.0.0",
    "::/129",
    "10.1",
    "1.2.3.256",
    "1.2.3.4.",
    "0x7f.0x1",
    "2130706433",
    "relay.example.com/24",
    "relay.example.com:443",
    "-relay",
    "*.example.com",
    "a b",
    "[::1]",
    "relay\n",
    "x".repeat(254)
  ])("may not be %j", (text) => {
    expect(AccessEntry.parse(text)).toEqual(Option.none())
  })

  it.prop("of any text is read or refused", [FastCheck.string({ unit: "binary" })], ([text]) => {
    expect(() => AddressSet.make([text])).not.toThrow()
    expect(() => AccessEntry.parse(text)).not.toThrow()
  })
})

describe("a set", () => {
  it.each([
    [
      "10.0.0.0/8",
      ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3", "::ffff:a01:203"],
      ["11.0.0.0", "::1", "::a01:203"]
    ],
    ["10.1.2.3/8", ["10.9.9.9"], ["11.0.0.1"]],
    ["::ffff:10.0.0.0/104", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.0"]],
    ["0.0.0.0/0", ["1.2.3.4", "::ffff:1.2.3.4"], ["::1", "2001:db8::1"]],
    ["::/0", ["::1", "2001:db8::1"], ["1.2.3.4", "::ffff:1.2.3.4"]],
    ["::ffff:10.0.0.0/64", ["::1:2:3:4"], ["10.0.0.0", "::1:0:0:0:0"]],
    ["2001:db8::/33", ["2001:db8:7fff::1"], ["2001:db8:8000::1"]],
    ["fe80::/64", ["fe80::1%eth0"], ["fe80:1::1%eth0"]],
    ["fe80::1%eth0", ["fe80::1", "fe80::1%eth1"], ["fe80::2%eth0"]]
  ])("of %s", (entry, inside, outside) => {
    const set = AddressSet.make([entry])
    expect(inside.filter((address) => !set(address))).toEqual([])
    expect(outside.filter(set)).toEqual([])
  })

  it("has nothing that is no address, and nothing of its names", () => {
    const set = AddressSet.make([...AddressSet.any, "localhost", "nonsense/99"])
    expect(["", "localhost", "1.2.3", "1.2.3.4/32", "nonsense/99", "[::1]"].filter(set)).toEqual([])
    expect(AddressSet.make(["localhost"])("127.0.0.1")).toBe(false)
  })

  it.prop("named any has every address", [FastCheck.oneof(v4, FastCheck.ipV6())], ([address]) => {
    expect(AddressSet.make(AddressSet.any)(address)).toBe(true)
  })

  it.prop(
    "of networks is what the arithmetic says",
    [octets, octets, FastCheck.integer({ min: 0, max: 32 })],
    ([base, bytes, prefix]) => {
      const bits = (parts: ReadonlyArray<number>) =>
        parts
          .map((part) => part.toString(2).padStart(8, "0"))
          .join("")
          .slice(0, prefix)
      const expected = bits(base) === bits(bytes)
      const set = AddressSet.make([`${base.join(".")}/${prefix}`])
      for (const form of [bytes.join("."), ...mappedForms(bytes)]) expect(set(form)).toBe(expected)
    }
  )

  it.prop(
    "of one IPv6 address has that address alone",
    [FastCheck.ipV6(), FastCheck.ipV6()],
    ([one, other]) => {
      const set = AddressSet.make([one])
      expect(isIPv6(one) && set(one)).toBe(true)
      expect(set(other)).toBe(AccessEntry.normalizeAddress(one) === AccessEntry.normalizeAddress(other))
    }
  )
})
