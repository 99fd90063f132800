/** Dates as callers write them. */
import { Option } from "effect"

const rfc3339 = /^(\d{4}-\d{2}-(\d{2}))[Tt ](\d{2}:\d{2}:\d{2}(?:\.\d+)?)([Zz]|[+-]\d{2}:\d{2})$/

/** Every month has so many days. */
const shortestMonth = 28

/** JavaScript takes 30 February for 2 March. */
const isInCalendar = (day: string, ofMonth: string): boolean =>
  Number(ofMonth) <= shortestMonth || new Date(day).toISOString().startsWith(day)

/** Of a date as JavaScript prints it. */
const printedLength = "2026-01-05T09:00:00.000Z".length

/** What was printed last: an upload's date is read where it was just written, and what comes together has one time. */
let last = { millis: 0, text: new Date(0).toISOString() }

/** As JavaScript prints it, in RFC 3339. @param millis since 1970 */
export const print = (millis: number): string => {
  if (millis === last.millis) return last.text
  const date = new Date(millis)
  // A clock may tell parts of a millisecond, which are not in the text.
  last = { millis: date.getTime(), text: date.toISOString() }
  return last.text
}

/** What was printed here, as most are, is known by being printed the same again: a sixth of the work. NaN: it was not. */
const printed = (text: string): number => {
  if (text === last.text) return last.millis
  const millis = text.length === printedLength ? Date.parse(text) : Number.NaN
  return !Number.isNaN(millis) && new Date(millis).toISOString() === text ? millis : Number.NaN
}

/** Milliseconds since 1970 of an RFC 3339 date; none for other text, and for a day that is not in the calendar. */
export const parse = (text: string): Option.Option<number> => {
  const known = printed(text)
  if (!Number.isNaN(known)) return Option.some(known)
  const [, day = "", ofMonth = "", time = "", zone = ""] = rfc3339.exec(text) ?? []
  if (day === "") return Option.none()
  const millis = Date.parse(`${day}T${time}${zone.toUpperCase()}`)
  return !Number.isNaN(millis) && isInCalendar(day, ofMonth) ? Option.some(millis) : Option.none()
}
