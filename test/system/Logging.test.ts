import { describe, expect, it } from "@effect/vitest"
import { Effect, FiberRef, HashSet, Logger, LogLevel, Option } from "effect"
import { afterEach, vi } from "vitest"
import * as LogLine from "../../src/LogLine.ts"
import { Logging } from "../../src/system/Logging.ts"

afterEach(() => {
  vi.restoreAllMocks()
})

/** What was logged in this turn is written. */
const turnOver = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

describe("a log whose reader stands still", () => {
  it.effect(
    "does not fill the memory: what does not fit is left out, and counted when there is room again",
    () => {
      let waiting = 0
      const written: Array<string> = []
      vi.spyOn(process.stderr, "writableLength", "get").mockImplementation(() => waiting)
      vi.spyOn(process.stderr, "write").mockImplementation((line) => written.push(String(line)) > 0)
      const omitting = (say: (text: string) => Effect.Effect<void>) =>
        Effect.gen(function* () {
          written.length = 0
          yield* say("first")
          yield* turnOver
          waiting = 2 * 1024 * 1024
          yield* say("second")
          yield* say("third")
          waiting = 0
          yield* say("fourth")
          yield* say("fifth")
          yield* turnOver
          const lines = written.join("").split("\n").slice(0, -1)
          expect(lines.map((line) => /message=\w+/.exec(line)?.[0])).toEqual([
            "message=first",
            "message=fourth",
            "message=fifth"
          ])
          expect(lines.map((line) => line.includes("omitted_lines=2"))).toEqual([false, true, false])
        })
      return Effect.andThen(
        omitting(Effect.logInfo),
        // A line that is made from its fields as they are.
        omitting((text) => LogLine.write(LogLevel.Info, text, {}))
      ).pipe(Effect.provide(Logging.layer({ level: "info", format: Option.some("logfmt") }, false)))
    }
  )
})

describe("the lines of one turn", () => {
  const logged = (use: (written: Array<string>) => Effect.Effect<void>) => {
    const written: Array<string> = []
    vi.spyOn(process.stderr, "write").mockImplementation((line) => written.push(String(line)) > 0)
    return Effect.gen(function* () {
      yield* Effect.logInfo("one")
      yield* Effect.logInfo("two")
      yield* use(written)
    }).pipe(Effect.provide(Logging.layer({ level: "info", format: Option.some("logfmt") }, false)))
  }
  const messages = (written: ReadonlyArray<string>) =>
    written.map((text) => Array.from(text.matchAll(/message=(\w+)/g), ([, word]) => word))

  it.live("are written to stderr alone", () =>
    logged(() =>
      Effect.gen(function* () {
        const loggers = yield* FiberRef.get(FiberRef.currentLoggers)
        expect(HashSet.has(loggers, Logger.defaultLogger)).toBe(false)
        yield* turnOver
      })
    )
  )

  it.effect("are written in one piece, by its end", () =>
    logged((written) =>
      Effect.gen(function* () {
        // What a request makes that is read in the same turn.
        yield* Effect.promise(() => new Promise<void>((resolve) => process.nextTick(resolve)))
        expect(written).toEqual([])
        yield* turnOver
        yield* Effect.logInfo("three")
        yield* turnOver
        expect(messages(written)).toEqual([["one", "two"], ["three"]])
      })
    )
  )

  it.effect("are written where the process ends in it, and once", () =>
    logged((written) =>
      Effect.gen(function* () {
        // What `process.exit` calls, without its end.
        for (const listener of process.rawListeners("exit"))
          if (!before.includes(listener)) listener.call(process)
        expect(messages(written)).toEqual([["one", "two"]])
        yield* turnOver
        expect(messages(written)).toEqual([["one", "two"]])
        expect(process.rawListeners("exit")).toEqual(before)
      })
    )
  )
  const before = process.rawListeners("exit")
})
