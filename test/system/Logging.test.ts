import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { afterEach, vi } from "vitest"
import { Logging } from "../../src/system/Logging.ts"

afterEach(() => {
  vi.restoreAllMocks()
})

describe("a log whose reader stands still", () => {
  it.effect(
    "does not fill the memory: what does not fit is left out, and counted when there is room again",
    () => {
      let waiting = 0
      const written: Array<string> = []
      vi.spyOn(process.stderr, "writableLength", "get").mockImplementation(() => waiting)
      vi.spyOn(process.stderr, "write").mockImplementation((line) => written.push(String(line)) > 0)
      return Effect.gen(function* () {
        yield* Effect.logInfo("first")
        waiting = 2 * 1024 * 1024
        yield* Effect.logInfo("second")
        yield* Effect.logInfo("third")
        waiting = 0
        yield* Effect.logInfo("fourth")
        yield* Effect.logInfo("fifth")
        expect(written.map((line) => /message=\w+/.exec(line)?.[0])).toEqual([
          "message=first",
          "message=fourth",
          "message=fifth"
        ])
        expect(written.map((line) => line.includes("omitted_lines=2"))).toEqual([false, true, false])
      }).pipe(Effect.provide(Logging.layer({ level: "info", format: Option.some("logfmt") }, false)))
    }
  )
})
