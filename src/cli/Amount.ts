/** Sizes, times and dates as a person reads them. */

const units = ["B", "KiB", "MiB", "GiB", "TiB"]

/** Bytes, to about three digits: `812 B`, `1.2 MiB`. */
export const size = (bytes: number): string => {
  let count = bytes
  let unit = 0
  while (count >= 1023.5 && unit < units.length - 1) {
    count /= 1024
    unit++
  }
  return `${unit === 0 || count >= 99.95 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`
}

/** Seconds, in the two largest units: `8.9s`, `2min 5s`, `3h 2min`, `2d 4h`. */
export const seconds = (given: number): string => {
  if (given < 10) return `${Math.round(given * 10) / 10}s`
  const all = Math.round(given)
  const [d, h, min, s] = [
    Math.floor(all / 86_400),
    Math.floor(all / 3600) % 24,
    Math.floor(all / 60) % 60,
    all % 60
  ]
  const parts = [
    [d, "d"],
    [h, "h"],
    [min, "min"],
    [s, "s"]
  ] as const
  const first = parts.findIndex(([count]) => count > 0)
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(" ")
}

/** A date of RFC 3339, or milliseconds since 1970, to the second: `2026-01-05T09:00:00Z`. What is no date stays as it is. */
export const date = (given: string | number): string => {
  const parsed = new Date(given)
  return Number.isNaN(parsed.getTime()) ? String(given) : `${parsed.toISOString().slice(0, 19)}Z`
}
