/** The log of the built program, as a program reads it. */
import type { Relay } from "./Program.ts"

export type LogLine = Readonly<Record<string, string>>

/** A line of logfmt: `key=value`, where what has spaces, quotes or `=` stands in JSON's quotes. */
export const parseLogfmt = (line: string): LogLine => {
  const fields: Record<string, string> = {}
  const pattern = /([^\s=]+)=("(?:[^"\\]|\\.)*"|\S*)(?:\s|$)/gy
  let at = 0
  while (at < line.length) {
    pattern.lastIndex = at
    const found = pattern.exec(line)
    if (found === null) throw new Error(`no logfmt at ${at}: ${line}`)
    const [whole, key = "", value = ""] = found
    fields[key] = value.startsWith('"') ? String(JSON.parse(value)) : value
    at += whole.length
  }
  return fields
}

const linesOf = ({ log }: Relay) =>
  log()
    .split("\n")
    .filter((line) => line !== "")

/** A log in logfmt; each line has to be one. */
export const logfmtOf = (relay: Relay): ReadonlyArray<LogLine> => linesOf(relay).map(parseLogfmt)

const textOf = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value))

/** A log in JSON, its annotations beside the rest. */
export const jsonOf = (relay: Relay): ReadonlyArray<LogLine> =>
  linesOf(relay).map((line) => {
    const { annotations, message, logLevel } = JSON.parse(line)
    return {
      ...Object.fromEntries(Object.entries(annotations).map(([name, value]) => [name, textOf(value)])),
      message: textOf(message),
      level: textOf(logLevel)
    }
  })
