/** What is written to a terminal, and to a pipe. */
import { PassThrough } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import * as LiveScreen from "../../../src/cli/run/LiveScreen.ts"

/** A stream of the process, and what was written to it. */
const stream = (columns?: number) => {
  let written = ""
  const one = Object.assign(new PassThrough(), columns === undefined ? {} : { isTTY: true, columns })
  one.on("data", (bytes) => {
    written += bytes
  })
  // What is used of it is there.
  return { stream: one as unknown as NodeJS.WriteStream, written: () => written }
}

const clear = "\r\u001b[K"

describe("a screen", () => {
  it.scoped("that is a terminal has the line of progress below what is printed, and takes it away", () =>
    Effect.gen(function* () {
      const [out, err] = [stream(20), stream(20)]
      const live = LiveScreen.make(out.stream, err.stream)
      let left = 2
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* live.progress((width) => `${left} of ${width}`)
          yield* Effect.yieldNow()
          expect(out.written()).toBe(`${clear}2 of 19`)
          yield* live.print("line\n")
          expect(out.written()).toBe(`${clear}2 of 19${clear}line\n2 of 19`)
          left = 1
          yield* TestClock.adjust("250 millis")
          expect(out.written().endsWith(`${clear}1 of 19`)).toBe(true)
          yield* live.print("", "error\n")
          expect(err.written()).toBe("error\n")
          expect(out.written().endsWith(`${clear}1 of 19${clear}1 of 19`)).toBe(true)
        })
      )
      expect(out.written().endsWith(clear)).toBe(true)
      yield* live.print("end\n")
      expect(out.written().endsWith(`${clear}end\n`)).toBe(true)
    })
  )

  it.scoped("that is a pipe has the lines alone", () =>
    Effect.gen(function* () {
      const [out, err] = [stream(), stream(80)]
      const live = LiveScreen.make(out.stream, err.stream)
      yield* live.progress(() => "progress")
      yield* live.print("line\n", "error\n")
      yield* TestClock.adjust("1 second")
      expect([out.written(), err.written()]).toEqual(["line\n", "error\n"])
    })
  )
})
