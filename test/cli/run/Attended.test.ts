/** What Ctrl-C does to a run that is watched. */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Queue, TestClock } from "effect"
import type { Interrupt } from "../../../src/cli/Interrupts.ts"
import * as Attended from "../../../src/cli/run/Attended.ts"
import { StartError } from "../../../src/cli/StartError.ts"
import { RelayUnreachable } from "../../../src/client/ClientError.ts"

/** A run that somebody watches, until `over`. */
const watched = (given: Partial<Attended.Attendance> = {}) =>
  Effect.gen(function* () {
    const interrupts = yield* Queue.unbounded<Interrupt>()
    const over = yield* Deferred.make<void, StartError>()
    const said: Array<string> = []
    const cancelled: Array<string> = []
    const fiber = yield* Effect.fork(
      Effect.exit(
        Attended.make(Deferred.await(over), {
          interrupts,
          run: () => "0190",
          isOver: () => false,
          cancel: (run) => Effect.sync(() => cancelled.push(run) > 0),
          say: (text) => Effect.sync(() => void said.push(text)),
          options: " --url http://relay",
          ...given
        })
      )
    )
    const press = (signal: Interrupt = "SIGINT") =>
      Effect.zipRight(Queue.offer(interrupts, signal), TestClock.adjust(0))
    const code = Effect.map(Fiber.join(fiber), (exit) =>
      Exit.isSuccess(exit)
        ? 0
        : exit.cause._tag === "Fail" && exit.cause.error instanceof StartError
          ? exit.cause.error.code
          : exit
    )
    return { over, said, cancelled, fiber, press, code }
  })

describe("a run that is watched", () => {
  it.effect("is seen to its end where nobody interrupts", () =>
    Effect.gen(function* () {
      const well = yield* watched()
      yield* Deferred.succeed(well.over, undefined)
      expect(yield* well.code).toBe(0)
      const ill = yield* watched()
      yield* ill.press()
      yield* Deferred.fail(ill.over, new StartError({ code: 1, message: "" }))
      expect(yield* ill.code).toBe(1)
      expect(ill.cancelled).toEqual([])
    })
  )

  it.effect("goes on after Ctrl-C, and is left after a while", () =>
    Effect.gen(function* () {
      const one = yield* watched()
      yield* one.press()
      expect(one.said.join("")).toContain("rudder-relay runs output 0190 --url http://relay\n")
      expect(one.said.join("")).toContain("rudder-relay runs cancel 0190 --url http://relay\n")
      yield* TestClock.adjust("9 seconds")
      expect(yield* Fiber.poll(one.fiber)).toMatchObject({ _tag: "None" })
      yield* TestClock.adjust("1 second")
      expect(yield* one.code).toBe(130)
      expect(one.cancelled).toEqual([])
    })
  )

  it.effect("is cancelled by a second Ctrl-C", () =>
    Effect.gen(function* () {
      const one = yield* watched()
      yield* one.press()
      yield* one.press()
      expect(yield* one.code).toBe(130)
      expect(one.cancelled).toEqual(["0190"])
      expect(one.said.at(-1)).toContain("is cancelled")
      const late = yield* watched({ cancel: () => Effect.succeed(false) })
      yield* late.press()
      yield* late.press()
      expect(yield* late.code).toBe(130)
      expect(late.said.at(-1)).toContain("was over already")
    })
  )

  it.effect(
    "says where the relay can't be asked to cancel it, and waits for that no longer than the user",
    () =>
      Effect.gen(function* () {
        const down = new RelayUnreachable({ message: "down" })
        const gone = yield* watched({ cancel: () => down })
        yield* gone.press()
        yield* gone.press()
        expect(yield* gone.code).toMatchObject({ cause: { error: down } })
        const slow = yield* watched({ cancel: () => Effect.never })
        yield* slow.press()
        yield* slow.press()
        yield* TestClock.adjust("15 seconds")
        expect(yield* slow.code).toBe(4)
        const impatient = yield* watched({ cancel: () => Effect.never })
        yield* impatient.press()
        yield* impatient.press()
        yield* impatient.press()
        expect(yield* impatient.code).toBe(130)
      })
  )

  it.effect("is left at once when the program is to end, and when it is over", () =>
    Effect.gen(function* () {
      const ended = yield* watched()
      yield* ended.press("SIGTERM")
      expect(yield* ended.code).toBe(143)
      expect(ended.said.join("")).toContain("rudder-relay runs output 0190")
      const over = yield* watched({ isOver: () => true })
      yield* over.press()
      expect(yield* over.code).toBe(130)
      expect(over.said).toEqual([])
    })
  )

  it.effect("of which nobody knows yet whether it was started is looked for in the list", () =>
    Effect.gen(function* () {
      const one = yield* watched({ run: () => undefined })
      yield* one.press()
      expect(one.said.join("")).toContain("rudder-relay runs list --url http://relay\n")
      yield* one.press()
      expect(yield* one.code).toBe(130)
      expect(one.cancelled).toEqual([])
    })
  )
})
