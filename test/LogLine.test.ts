import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, HashMap, Logger, LogLevel, Option, Tracer } from "effect"
import { afterEach, vi } from "vitest"
import * as LogLine from "../src/LogLine.ts"
import { Logging } from "../src/system/Logging.ts"
import * as LogText from "../src/system/LogText.ts"

afterEach(() => {
  vi.restoreAllMocks()
})

type Write = typeof LogLine.write

/** Effect's own way. */
const annotated: Write = (level, message, fields) =>
  Effect.annotateLogs(Effect.logWithLevel(level, message), fields)

const turnOver = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

type Format = "logfmt" | "json" | "pretty"

/** What the daemon's log writes of each of these. */
const logged = (uses: ReadonlyArray<Effect.Effect<void>>, format: Format = "logfmt") =>
  Effect.gen(function* () {
    const stderr = vi.spyOn(process.stderr, "write").mockReturnValue(true)
    const lines: Array<string> = []
    for (const use of uses) {
      stderr.mockClear()
      yield* use
      yield* turnOver
      lines.push(stderr.mock.calls.map(([text]) => String(text)).join(""))
    }
    return lines
  }).pipe(Effect.provide(Logging.layer({ level: "info", format: Option.some(format) }, false)))

/** The same line both ways, in one fiber. */
const both = (line: (write: Write) => Effect.Effect<void>, format?: Format) =>
  logged([line(LogLine.write), line(annotated)], format)

const text = FastCheck.oneof(
  FastCheck.string({ unit: "binary" }),
  FastCheck.constantFrom("", 'a="b" \\', "a b", "two\nlines", "\u202e")
)
const fields = FastCheck.dictionary(
  FastCheck.oneof(text, FastCheck.constantFrom("request", "address", "status", "seconds")),
  FastCheck.oneof(text, FastCheck.anything()),
  { maxKeys: 20 }
)

const upload = {
  request: "one",
  address: "::1",
  method: "POST",
  route: "/a/:b",
  target: "n1",
  status: 200,
  seconds: 0.1
}

describe("a line that has its fields with it", () => {
  it.effect.prop(
    "is the line that Effect's own log makes of them as annotations",
    [text, fields],
    ([message, given]) =>
      Effect.gen(function* () {
        const [ours, theirs] = yield* both((write) => write(LogLevel.Info, message, given))
        expect(ours).toBe(theirs)
        expect(ours).toContain("level=INFO")
      })
  )

  it.effect.each(["logfmt", "json", "pretty"] as const)(
    "is the same as %s, with what its fiber has for it",
    (format) =>
      Effect.gen(function* () {
        const [ours, theirs] = yield* both(
          (write) =>
            write(LogLevel.Warning, "said", upload).pipe(
              Effect.annotateLogs({ run: "r", status: 1 }),
              Effect.withLogSpan("span")
            ),
          format
        )
        expect(ours).toBe(theirs)
        expect(ours).toContain("span")
      })
  )

  it.effect("has the spans of its fiber, also where that has nothing else for it", () =>
    Effect.gen(function* () {
      const [ours, theirs] = yield* both((write) =>
        Effect.withLogSpan(write(LogLevel.Info, "said", upload), "span")
      )
      expect(ours).toBe(theirs)
      expect(ours).toContain("span=0ms")
    })
  )

  it.effect("is not there below the log's level", () =>
    Effect.gen(function* () {
      expect(yield* both((write) => write(LogLevel.Debug, "said", upload))).toEqual(["", ""])
    })
  )

  it.effect("comes to every logger, to those of an embedding program as the entry that it was", () =>
    Effect.gen(function* () {
      const entries: Array<Logger.Logger.Options<unknown>> = []
      const theirs = Logger.make((entry) => void entries.push(entry))
      const [line] = yield* logged([
        LogLine.write(LogLevel.Info, "said", upload).pipe(Effect.provide(Logger.add(theirs)))
      ])
      expect(line).toContain("message=said")
      const [entry] = entries
      expect(entries.length).toBe(1)
      expect(entry?.message).toEqual(["said"])
      expect(Object.fromEntries(entry === undefined ? [] : HashMap.entries(entry.annotations))).toEqual(
        upload
      )
      expect(`${entry === undefined ? "" : LogText.logfmt.log(entry)}\n`).toBe(line)
    })
  )

  it.live("is an event of the span that it is written in", () =>
    Effect.gen(function* () {
      const span = yield* Effect.currentSpan
      yield* logged([LogLine.write(LogLevel.Info, "said", upload)])
      expect(span).toMatchObject({
        events: [["said", expect.anything(), expect.objectContaining({ request: "one" })]]
      })
    }).pipe(Effect.withSpan("span"), Effect.withTracer(events()))
  )
})

/** A tracer whose spans keep their events. */
const events = () =>
  Tracer.make({
    context: (run) => run(),
    span: (name, parent, context, links, startTime, kind) => {
      const events: Array<readonly [string, bigint, Record<string, unknown> | undefined]> = []
      return Object.assign(
        { _tag: "Span" as const, spanId: "1", traceId: "1", sampled: true, events },
        {
          name,
          parent,
          context,
          links: [...links],
          kind,
          status: { _tag: "Started" as const, startTime },
          attributes: new Map<string, unknown>(),
          attribute: () => {},
          addLinks: () => {},
          end: () => {},
          event: (label: string, time: bigint, attributes?: Record<string, unknown>) =>
            void events.push([label, time, attributes])
        }
      )
    }
  })
