import { describe, expect, it } from "@effect/vitest"
import { FastCheck, Option } from "effect"
import * as Ttl from "../../../src/shared-files/file/Ttl.ts"

const seconds = (count: number) => Option.some<Ttl.Ttl>({ _tag: "Seconds", seconds: count })

describe("Ttl", () => {
  it.each<readonly [string, number]>([
    ["1h 7s", 3607],
    ["1hour 2minutes", 3720],
    ["1d 7seconds", 86_407],
    ["9136", 9136],
    ["0", 0],
    ["0s", 0],
    ["1day+2hours", 93_600],
    ["1day 2hours", 93_600],
    ["1d2h", 93_600],
    ["2h1d", 93_600],
    ["2 hours 1 day", 93_600],
    [" 5 min ", 300],
    ["5m", 300],
    ["5minutes", 300],
    ["1minute", 60],
    ["5mins", 300],
    ["1week 1day 1hour 1minute 1second", 694_861],
    ["2weeks", 1_209_600],
    ["1w", 604_800],
    ["36500d", 3_153_600_000],
    ["1Day 2HOURS", 93_600],
    ["01d", 86_400],
    // What Rudder's own relay took besides.
    ["1month", 2_630_016],
    ["1M", 2_630_016],
    ["1M 1m", 2_630_076],
    ["1year", 31_557_600],
    ["2yrs", 63_115_200],
    ["32ms", 1],
    ["500ms", 1],
    ["1s 1ns", 2],
    ["1ms 1us 1ns", 1],
    ["1millisecond 1microsecond 1nanosecond", 1],
    ["1000000us", 1],
    ["999999999ns 1nsec", 1],
    // Ten times a tenth of a second are one, and not a little more.
    ["100ms 100ms 100ms 100ms 100ms 100ms 100ms 100ms 100ms 100ms", 1],
    // A unit again is added.
    ["1h 1h", 7200],
    ["1d 1days", 172_800],
    ["1m 1min 1minute+1mins", 240],
    ["1000ms", 1],
    ["3 600s", 3600],
    [" 5", 5],
    ["+5", 5]
  ])("reads %j as %d s", (text, count) => {
    expect(Ttl.parse(text)).toEqual(seconds(count))
  })

  it.each([undefined, "", " ", "+"])("reads %j as for ever", (text) => {
    expect(Ttl.parse(text)).toEqual(Option.some(Ttl.forever))
  })

  it.each([
    "913j",
    "913b83",
    "913h 89j",
    "1.5h",
    "-1",
    "-1d",
    "d",
    "1d 5",
    "1d,2h",
    "1d\n2h",
    "1d\0",
    "１d",
    "1e3",
    "0x10",
    "Infinity",
    "9".repeat(400),
    `${"9".repeat(400)}d`,
    "8200000000001",
    "999999999999w"
  ])("does not take %j", (text) => {
    expect(Ttl.parse(text)).toEqual(Option.none())
  })

  const anyTtl = FastCheck.oneof(
    FastCheck.constant(Ttl.forever),
    FastCheck.maxSafeNat().map((count): Ttl.Ttl => ({ _tag: "Seconds", seconds: count % (Ttl.longest + 1) }))
  )

  it.prop("what is printed is read as the same", [anyTtl], ([ttl]) => {
    expect(Ttl.parse(Ttl.print(ttl))).toEqual(Option.some(ttl))
  })

  it.prop(
    "any sum of units, in any order and spelling, also of one again, is read as that sum",
    [sums()],
    ([sum]) => {
      // Nothing ends later than the longest time there is.
      const expected = sum.seconds > Ttl.longest ? Option.none() : seconds(sum.seconds)
      expect(Ttl.parse(sum.text)).toEqual(expected)
    }
  )

  it.prop("any text at all is read as a time in bounds or not at all", [FastCheck.string()], ([text]) => {
    const inBounds = (ttl: Ttl.Ttl) =>
      ttl._tag === "Forever" || (Number.isSafeInteger(ttl.seconds) && ttl.seconds >= 0)
    expect(Option.getOrElse(Option.map(Ttl.parse(text), inBounds), () => true)).toBe(true)
  })

  it("counts from acceptance, and ends no sooner", () => {
    expect(Ttl.expiry(Ttl.forever, 10_900)).toEqual(Option.none())
    expect(Ttl.expiry({ _tag: "Seconds", seconds: 5 }, 10_000)).toEqual(Option.some(15))
    expect(Ttl.expiry({ _tag: "Seconds", seconds: 5 }, 10_900)).toEqual(Option.some(16))
  })
})

function sums() {
  const units = [
    [31_557_600, ["years", "year", "yr", "y"]],
    [2_630_016, ["months", "month", "M"]],
    [604_800, ["weeks", "week", "w"]],
    [86_400, ["days", "day", "d"]],
    [3600, ["hours", "hour", "h"]],
    [60, ["minutes", "minute", "min", "m"]],
    [1, ["seconds", "second", "s"]],
    [1e-3, ["millis", "msec", "ms"]],
    [1e-6, ["usec", "us"]],
    [1e-9, ["nanos", "nsec", "ns"]]
  ] as const
  const space = FastCheck.constantFrom("", " ", "  ", "+")
  const oneTerm = FastCheck.constantFrom(...units).chain(([length, names]) =>
    FastCheck.tuple(FastCheck.nat(100_000), FastCheck.constantFrom(...names), space, space).map(
      ([count, name, inside, after]) => ({
        text: `${count}${inside}${name}${after}`,
        nanos: BigInt(count) * BigInt(Math.round(length * 1e9))
      })
    )
  )
  return FastCheck.array(oneTerm, { minLength: 1, maxLength: 12 }).map((terms) => {
    const nanos = terms.reduce((sum, one) => sum + one.nanos, 0n)
    return {
      text: terms.map(({ text }) => text).join(""),
      seconds: Number(nanos / 1_000_000_000n) + (nanos % 1_000_000_000n > 0n ? 1 : 0)
    }
  })
}
