/**
 * An entry of the log as text, in each of the log's formats. What peers and callers wrote may be in any part of it: none of
 * it begins a line, or reaches a terminal as anything but text.
 */
import { Array as Arr, Cause, FiberId, HashMap, Inspectable, List, Logger, LogSpan } from "effect"
import * as DateTime from "../http/DateTime.ts"
import type { Line } from "../LogLine.ts"
import * as Printable from "../Printable.ts"

const nameOf = (label: string): string => (/[\s="]/.test(label) ? label.replace(/[\s="]/g, "_") : label)

const quoted = (value: string): string => (/[\s="]/.test(value) ? JSON.stringify(value) : value)

/** Printable ASCII in which nothing is to be quoted. */
const word = /^[!#-<>-~]*$/

const field = (label: string, value: string): string => `${nameOf(label)}=${quoted(value)}`

const text = (value: unknown): string =>
  typeof value === "string"
    ? value
    : typeof value === "number"
      ? String(value)
      : Inspectable.toStringUnknown(value, 0)

/** One line of `key=value` for each entry: as Effect's own, which takes twice as long for each field. */
export const logfmt: Logger.Logger<unknown, string> = Logger.make(
  ({ annotations, cause, date, fiberId, logLevel, message, spans }) => {
    const head = `timestamp=${date.toISOString()} level=${logLevel.label} fiber=${FiberId.threadName(fiberId)}`
    let line = Arr.ensure(message).reduce(
      (all: string, part) => `${all} ${field("message", text(part))}`,
      head
    )
    if (!Cause.isEmptyType(cause))
      line += ` ${field("cause", Cause.pretty(cause, { renderErrorCause: true }))}`
    for (const span of spans) line += ` ${LogSpan.render(date.getTime())(span)}`
    for (const [label, value] of annotations) line += ` ${field(label, text(value))}`
    return Printable.line(line)
  }
)

/** A field as a line has it. */
interface Label {
  readonly field: string
  /** With the space before it. */
  readonly text: string
  readonly isPrintable: boolean
}

/** The labels of fields by their names, one after the other: lines have the same names again and again. */
interface Names {
  readonly after: Map<string, Names>
  /** Of the names up to here, in the order in which annotations have them. */
  labels: ReadonlyArray<Label> | undefined
}

const noNames = (): Names => ({ after: new Map(), labels: undefined })

/** Names are written in the program. Should there be more of their orders all the same, they are found out anew. */
const mostNames = 1000

let names = { first: noNames(), count: 0 }

const after = (before: Names, name: string): Names => {
  const known = before.after.get(name)
  if (known !== undefined) return known
  const made = noNames()
  before.after.set(name, made)
  names.count++
  return made
}

/** The fields of a line in the order in which the same as annotations would be. */
const labelsOf = (fields: ReadonlyArray<string>): ReadonlyArray<Label> => {
  if (names.count >= mostNames) names = { first: noNames(), count: 0 }
  let found = names.first
  for (const name of fields) found = after(found, name)
  found.labels ??= Array.from(
    HashMap.keys(HashMap.fromIterable(fields.map((name) => [name, undefined] as const))),
    (name) => ({ field: name, text: ` ${nameOf(name)}=`, isPrintable: Printable.isAscii(name) })
  )
  return found.labels
}

/** What `logfmt` makes of an entry with these fields as its annotations, and nothing else in it. */
export const logfmtOf = ({ date, fiberId, fields, level, message }: Line): string => {
  let line = `timestamp=${DateTime.print(date.getTime())} level=${level.label} fiber=#${fiberId.id} message=${quoted(message)}`
  let isPrintable = Printable.isAscii(message)
  for (const label of labelsOf(Object.keys(fields))) {
    const value = text(fields[label.field])
    // A word is itself, as nearly all are; what is quoted stays as printable as it was.
    const isPlain = word.test(value)
    line += label.text
    line += isPlain ? value : quoted(value)
    isPrintable &&= isPlain || Printable.isAscii(value)
    isPrintable &&= label.isPrintable
  }
  return isPrintable ? line : Printable.line(line)
}

/** One line of JSON for each entry. */
export const json: Logger.Logger<unknown, string> = Logger.map(Logger.jsonLogger, Printable.json)

const codes = {
  bold: "\x1b[1m",
  white: "\x1b[37m",
  cyan: "\x1b[36m",
  green: "\x1b[32m",
  blue: "\x1b[34m",
  yellow: "\x1b[33m",
  red: "\x1b[31m",
  none: "\x1b[0m"
}
type Code = keyof typeof codes

const levelCodes: Readonly<Record<string, Code>> = {
  Trace: "white",
  Debug: "blue",
  Info: "green",
  Warning: "yellow",
  Error: "red",
  Fatal: "red"
}

const shown = (value: unknown): string =>
  Printable.line(typeof value === "string" ? value : Inspectable.toStringUnknown(value, 0))

const time = (date: Date): string => date.toTimeString().slice(0, 8) + date.toISOString().slice(19, 23)

/** What follows the first line of an entry is indented, so that it can't be taken for another's. */
const indented = (text: string): string => `\n  ${text}`

/** For people: one line, and below it the annotations, one a line, and the cause. */
export const pretty = (colours: boolean): Logger.Logger<unknown, string> => {
  const paint = (text: string, ...of: ReadonlyArray<Code>): string =>
    colours ? `${of.map((code) => codes[code]).join("")}${text}${codes.none}` : text
  return Logger.make(({ annotations, cause, date, fiberId, logLevel, message, spans }) => {
    const now = date.getTime()
    const durations = List.toArray(spans).map((span) => ` ${Printable.line(LogSpan.render(now)(span))}`)
    const head = [
      paint(`[${time(date)}]`, "white"),
      paint(logLevel.label, levelCodes[logLevel._tag] ?? "white"),
      `(${FiberId.threadName(fiberId)})${durations.join("")}:`,
      ...Arr.ensure(message).map((part, place) =>
        place === 0 ? paint(shown(part), "bold", "cyan") : shown(part)
      )
    ].join(" ")
    const about = [...annotations].map(([key, value]) =>
      indented(`${paint(`${Printable.line(key)}:`, "bold")} ${shown(value)}`)
    )
    const reasons = Cause.isEmpty(cause)
      ? []
      : Cause.pretty(cause, { renderErrorCause: true })
          .split("\n")
          .map((text) => indented(Printable.line(text)))
    return [head, ...reasons, ...about].join("")
  })
}
