import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, FastCheck, Logger } from "effect"
import * as Printable from "../../src/Printable.ts"
import * as LogText from "../../src/system/LogText.ts"

const formats = { pretty: LogText.pretty(false), logfmt: LogText.logfmt, json: LogText.json }

/** What a format makes of one entry in which a peer's text is everywhere. */
const entry = (format: Logger.Logger<unknown, string>, text: string) => {
  const lines: Array<string> = []
  const logger = Logger.map(format, (line) => void lines.push(line))
  return Effect.logError(text, Cause.fail(new Error(text))).pipe(
    Effect.annotateLogs({ id: text, [`k${text}`]: { inner: [text] } }),
    Effect.withLogSpan(text),
    Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
    Effect.map(() => lines.join("\n"))
  )
}

const hostile = "n1\n[12:00:00.000] INFO (#1): all is well\r\x1b[2J\x9b2J\x7f\u2028\u202e"

/** What acts on a terminal or ends a line, but the newlines that the format has itself. */
const acting = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/

describe("an entry of the log", () => {
  it.effect.each(Object.entries(formats))("as %s shows nothing of others but as text", ([name, format]) =>
    Effect.gen(function* () {
      const shown = yield* entry(format, hostile)
      expect(shown).not.toMatch(acting)
      // Below the first line of the pretty format all is indented, so that no line looks like an entry's first.
      const [first = "", ...rest] = shown.split("\n")
      expect(rest.length > 0).toBe(name === "pretty")
      for (const line of rest) expect(line).toMatch(/^ {2}/)
      expect(first).toContain("all is well")
    })
  )

  it.effect.prop(
    "as JSON is the same JSON, whatever is in it",
    [FastCheck.string({ unit: "binary" })],
    ([text]) =>
      Effect.gen(function* () {
        const shown = yield* entry(LogText.json, text)
        expect(shown).not.toMatch(acting)
        expect(JSON.parse(shown).annotations.id).toBe(text)
      })
  )

  it.effect.prop(
    "as logfmt is the same line as Effect's own",
    [FastCheck.oneof(FastCheck.string({ unit: "binary" }), FastCheck.constantFrom("", 'a="b" \\', "a b"))],
    ([text]) =>
      Effect.gen(function* () {
        const both = Logger.zip(LogText.logfmt, Logger.map(Logger.logfmtLogger, Printable.line))
        const lines: unknown = JSON.parse(yield* entry(Logger.map(both, JSON.stringify), text))
        expect(lines).toEqual(Array.isArray(lines) ? [lines[1], lines[1]] : undefined)
      })
  )

  it("has colours only where they are wanted", () => {
    const shown = (colours: boolean) => {
      let line = ""
      const logger = Logger.map(LogText.pretty(colours), (text) => {
        line = text
      })
      Effect.logInfo("started").pipe(
        Effect.annotateLogs("id", "n1"),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
        Effect.runSync
      )
      return line
    }
    expect(shown(false)).toMatch(/^\[\d\d:\d\d:\d\d\.\d{3}\] INFO \(#\d+\): started\n {2}id: n1$/)
    expect(shown(true)).toContain("\x1b[1m")
  })
})
