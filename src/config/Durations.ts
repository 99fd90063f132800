/** Durations as a person writes them in a configuration: `"10s"`, `"5min"`, `"1h 30m"`, `"7days"`. */
import { Duration, Option } from "effect"

/** Milliseconds of each unit, under each of its names. Months and years are averages, as in Rudder's own configuration. */
const units: ReadonlyArray<readonly [number, ReadonlyArray<string>]> = [
  [31_557_600_000, ["years", "year", "yr", "y"]],
  [2_630_016_000, ["months", "month", "M"]],
  [604_800_000, ["weeks", "week", "wk", "w"]],
  [86_400_000, ["days", "day", "d"]],
  [3_600_000, ["hours", "hour", "hrs", "hr", "h"]],
  [60_000, ["minutes", "minute", "mins", "min", "m"]],
  [1000, ["seconds", "second", "secs", "sec", "s"]],
  [1, ["milliseconds", "millisecond", "millis", "msec", "ms"]]
]

const millisOf = new Map(units.flatMap(([millis, names]) => names.map((name) => [name, millis] as const)))

const term = /\s*(\d+)\s*([A-Za-z]+)\s*/y

/** None where the text is not a sum of numbers with units, or is too long to count in milliseconds. */
export const parse = (text: string): Option.Option<Duration.Duration> => {
  let millis = 0
  term.lastIndex = 0
  while (term.lastIndex < text.length) {
    const found = term.exec(text)
    const unit = millisOf.get(found?.[2] ?? "")
    if (found === null || unit === undefined) return Option.none()
    millis += Number(found[1]) * unit
  }
  return text.trim() === "" || !Number.isSafeInteger(millis)
    ? Option.none()
    : Option.some(Duration.millis(millis))
}

/** The shortest text of weeks to milliseconds that `parse` reads as the same. */
export const print = (duration: Duration.Duration): string => {
  let left = Math.round(Duration.toMillis(duration))
  const parts: Array<string> = []
  for (const [millis, names] of units.filter(([millis]) => millis <= 604_800_000)) {
    const count = Math.floor(left / millis)
    if (count > 0) parts.push(`${count}${millis === 60_000 ? "min" : names.at(-1)}`)
    left -= count * millis
  }
  return parts.length === 0 ? "0s" : parts.join(" ")
}
