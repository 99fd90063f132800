/** Dates as callers write them. */
import { Option } from "effect"

const rfc3339 = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2}(?:\.\d+)?)([Zz]|[+-]\d{2}:\d{2})$/

/** Milliseconds since 1970 of an RFC 3339 date; none for other text, and for a day that is not in the calendar. */
export const parse = (text: string): Option.Option<number> => {
  const [, day = "", time = "", zone = ""] = rfc3339.exec(text) ?? []
  const millis = Date.parse(`${day}T${time}${zone.toUpperCase()}`)
  // JavaScript takes 30 February for 2 March.
  const isDay = day !== "" && !Number.isNaN(Date.parse(day)) && new Date(day).toISOString().startsWith(day)
  return isDay && !Number.isNaN(millis) ? Option.some(millis) : Option.none()
}
