import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as AddressBlock from "../../src/access/AddressBlock.ts"

describe("AddressBlock", () => {
  it.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:DB8:1:2::6", "2001:db8:1:2::/64"],
    ["2001:db8::6", "2001:db8:0:0::/64"],
    ["2001:db8::2:3:4:5:6", "2001:db8:0:2::/64"],
    ["2001:db8:1:2::", "2001:db8:1:2::/64"],
    ["::1", "0:0:0:0::/64"],
    ["::", "0:0:0:0::/64"],
    ["::192.0.2.1", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["64:ff9b:1:2:3::192.0.2.1", "64:ff9b:1:2::/64"],
    ["no address", "no address"]
  ])("of %s is %s", (address, block) => {
    expect(AddressBlock.of(address)).toBe(block)
  })

  const half = FastCheck.array(FastCheck.integer({ min: 0, max: 0xffff }), { minLength: 4, maxLength: 4 })
  const text = (groups: ReadonlyArray<number>) => groups.map((group) => group.toString(16)).join(":")

  it.prop("is one for all of a /64, and for nothing else", [half, half, half, half], ([a, b, c, d]) => {
    const of = (...parts: ReadonlyArray<ReadonlyArray<number>>) => AddressBlock.of(parts.map(text).join(":"))
    expect(of(a, b)).toBe(of(a, c))
    expect(of(a, b) === of(d, b)).toBe(text(a) === text(d))
  })
})
