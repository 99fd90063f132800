/** Sizes as a person writes them in a configuration: `"50MiB"`, `"1.5 GiB"`, `"10MB"`. */
import { Option } from "effect"

const prefixes = ["", "k", "m", "g", "t"]

const pattern = /^\s*(\d+(?:\.\d+)?)\s*(?:([kmgt]?)(i?)b?|bytes?)\s*$/i

/** Bytes; none where the text is not a number with a unit, or not a whole number of bytes. */
export const parse = (text: string): Option.Option<number> => {
  const found = pattern.exec(text)
  if (found === null) return Option.none()
  const [, number = "", prefix = "", binary = ""] = found
  const bytes = Number(number) * (binary === "" ? 1000 : 1024) ** prefixes.indexOf(prefix.toLowerCase())
  return Number.isSafeInteger(bytes) ? Option.some(bytes) : Option.none()
}

/** The text with the largest binary unit that `parse` reads as the same. */
export const print = (bytes: number): string => {
  let unit = 0
  let count = bytes
  while (count > 0 && count % 1024 === 0 && unit < prefixes.length - 1) {
    count /= 1024
    unit++
  }
  return unit === 0 ? `${count}B` : `${count}${(prefixes[unit] ?? "").toUpperCase()}iB`
}
