/** How long a shared file is kept: a sum of units in any order, or seconds; or for ever. */
import { Option } from "effect"

/** How long a file is kept. */
export type Ttl = { readonly _tag: "Forever" } | { readonly _tag: "Seconds"; readonly seconds: number }

/** Without an end. */
export const forever: Ttl = { _tag: "Forever" }

/** Seconds of each unit from a second up, under each of its names. */
const units: ReadonlyArray<readonly [number, ReadonlyArray<string>]> = [
  [31_557_600, ["years", "year", "yrs", "yr", "y"]],
  [2_630_016, ["months", "month", "M"]],
  [604_800, ["weeks", "week", "wks", "wk", "w"]],
  [86_400, ["days", "day", "d"]],
  [3600, ["hours", "hour", "hrs", "hr", "h"]],
  [60, ["minutes", "minute", "mins", "min", "m"]],
  [1, ["seconds", "second", "secs", "sec", "s"]]
]

/** Nanoseconds of each unit below a second. */
const parts: ReadonlyArray<readonly [number, ReadonlyArray<string>]> = [
  [1_000_000, ["milliseconds", "millisecond", "millis", "msec", "ms"]],
  [1000, ["microseconds", "microsecond", "micros", "usec", "us", "µs"]],
  [1, ["nanoseconds", "nanosecond", "nanos", "nsec", "ns"]]
]

/** Older relays know weeks as their longest unit. */
const printed = units.slice(-5)

/** Whole numbers of nanoseconds, which add up exactly: parts of a second, as numbers, would not. */
const second = 1_000_000_000n
const nanosOf = new Map([
  ...units.flatMap(([count, names]) => names.map((name) => [name, BigInt(count) * second] as const)),
  ...parts.flatMap(([count, names]) => names.map((name) => [name, BigInt(count)] as const))
])

/** What an older relay could count to, and a date that JavaScript can still tell: 260,000 years. Seconds. */
export const longest = 8_200_000_000_000

/** A part of a second counts as a whole one: a file does not go before its time. */
const ofNanos = (nanos: bigint): Option.Option<Ttl> => {
  const seconds = (nanos + second - 1n) / second
  return seconds <= BigInt(longest)
    ? Option.some({ _tag: "Seconds", seconds: Number(seconds) })
    : Option.none()
}

// Older relays take spaces within a number.
const term = /(\d[\d ]*)([A-Za-zµ]+) */y

/** None for text that is no time, or too long a one; absent or empty is for ever. */
export const parse = (text: string | undefined): Option.Option<Ttl> => {
  // A `+` that nobody decoded is the space that it stands for.
  const given = (text ?? "").replaceAll(/[ \t+]+/g, " ").replaceAll(/^ | $/g, "")
  if (given === "") return Option.some(forever)
  if (/^\d+$/.test(given)) return ofNanos(BigInt(given) * second)
  let total = 0n
  term.lastIndex = 0
  while (term.lastIndex < given.length) {
    const [, count = "", name = ""] = term.exec(given) ?? []
    const unit = nanosOf.get(name) ?? nanosOf.get(name.toLowerCase())
    if (unit === undefined) return Option.none()
    total += BigInt(count.replaceAll(" ", "")) * unit
  }
  return ofNanos(total)
}

/** The shortest text that `parse` reads as the same; empty for ever. Older relays read it too, but for the empty one. */
export const print = (ttl: Ttl): string => {
  if (ttl._tag === "Forever") return ""
  let left = ttl.seconds
  const parts: Array<string> = []
  for (const [seconds, names] of printed) {
    const count = Math.floor(left / seconds)
    if (count > 0) parts.push(`${count}${names.at(-1)}`)
    left -= count * seconds
  }
  return parts.length === 0 ? "0s" : parts.join(" ")
}

/** Whether a file is kept no longer by the one than by the other. */
export const isAtMost = (one: Ttl, other: Ttl): boolean =>
  other._tag === "Forever" || (one._tag === "Seconds" && one.seconds <= other.seconds)

/** When a file that is accepted now expires: unix time in seconds, never before its ttl has passed; none for ever. */
export const expiry = (ttl: Ttl, nowMillis: number): Option.Option<number> =>
  ttl._tag === "Forever" ? Option.none() : Option.some(Math.ceil(nowMillis / 1000) + ttl.seconds)
