import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Fiber, FiberId, Option, TestClock } from "effect"
import * as UpstreamGate from "../../../src/shared-files/outbox/UpstreamGate.ts"

const retry = { initial: Duration.seconds(1), max: Duration.minutes(5) }

/** A gate, and those who came through it. */
const setUp = () => {
  const gate = UpstreamGate.make(retry)
  const passes: Array<UpstreamGate.Permit> = []
  const enter = Effect.fork(Effect.uninterruptible(Effect.map(gate.enter, (pass) => passes.push(pass))))
  const enterAll = (count: number) => Effect.forEach(Array.from({ length: count }), () => enter)
  /** The one that came in last. */
  const last = Effect.suspend(() => {
    const pass = passes.at(-1)
    return pass === undefined ? Effect.dieMessage("nobody came in") : Effect.succeed(pass)
  })
  return { gate, passes, enter, enterAll, last }
}

/** What was set off comes to rest. */
const rest = TestClock.adjust(0)

/** The bearer of a pass had an answer, or none, and is done. */
const answered = ({ answered, release }: UpstreamGate.Permit) =>
  Effect.sync(() => {
    answered()
    release()
  })
const failed = ({ failed, release }: UpstreamGate.Permit) =>
  Effect.andThen(failed("no connection"), Effect.sync(release))

describe("the gate to the policy server", () => {
  it.effect("lets one probe through at first, and nobody else until that has its answer", () => {
    const { gate, passes, enterAll, last } = setUp()
    return Effect.gen(function* () {
      yield* enterAll(20)
      yield* TestClock.adjust("1 day")
      expect(passes).toHaveLength(1)
      expect(yield* gate.status).toEqual({ problem: Option.none(), answered: Option.none(), pause: 0 })
      yield* answered(yield* last)
      yield* rest
      expect(passes).toHaveLength(1 + UpstreamGate.maxSending)
    })
  })

  it.effect("lets so many through at once while it is open, and another for each that is done", () => {
    const { passes, enterAll } = setUp()
    return Effect.gen(function* () {
      yield* enterAll(UpstreamGate.maxSending + 20)
      yield* rest
      for (let done = 0; done < 20; done++) {
        const pass = passes[done]
        if (pass === undefined) throw new Error("nobody came in")
        yield* answered(pass)
        yield* rest
        expect(passes).toHaveLength(done + 1 + UpstreamGate.maxSending)
      }
    })
  })

  it.effect("goes on with all places when a probe is answered before its bearer is done", () => {
    const { passes, enterAll, last } = setUp()
    return Effect.gen(function* () {
      yield* enterAll(20)
      yield* rest
      ;(yield* last).answered()
      yield* rest
      expect(passes).toHaveLength(UpstreamGate.maxSending)
    })
  })

  it.effect("lets one probe after the other through while they fail, ever later", () => {
    const { gate, passes, enterAll, last } = setUp()
    return Effect.gen(function* () {
      yield* enterAll(20)
      yield* rest
      for (let failures = 1; failures <= 12; failures++) {
        yield* failed(yield* last)
        const { problem, pause } = yield* gate.status
        expect(problem).toEqual(Option.some("no connection"))
        const longest = Math.min(1000 * 2 ** (failures - 1), 300_000)
        expect(pause).toBeLessThanOrEqual(longest)
        expect(pause).toBeGreaterThanOrEqual(0.8 * longest)
        yield* TestClock.adjust(pause - 1)
        expect(passes).toHaveLength(failures)
        yield* TestClock.adjust(1)
        expect(passes).toHaveLength(failures + 1)
        // The next one is under way, and nobody else.
        expect((yield* gate.status).pause).toBe(0)
        yield* TestClock.adjust("1 day")
        expect(passes).toHaveLength(failures + 1)
      }
    })
  })

  it.effect(
    "pauses everything when one of those under way finds nobody; the others add nothing to that",
    () => {
      const { gate, passes, enterAll, last } = setUp()
      return Effect.gen(function* () {
        yield* enterAll(1)
        yield* rest
        yield* answered(yield* last)
        yield* enterAll(UpstreamGate.maxSending)
        yield* rest
        for (const pass of passes.slice(1)) yield* failed(pass)
        expect((yield* gate.status).pause).toBeLessThanOrEqual(1000)
        yield* enterAll(20)
        yield* TestClock.adjust("799 millis")
        expect(passes).toHaveLength(1 + UpstreamGate.maxSending)
        yield* TestClock.adjust("201 millis")
        expect(passes).toHaveLength(2 + UpstreamGate.maxSending)
      })
    }
  )

  it.effect("begins with short pauses again after an answer", () => {
    const { gate, enter, last } = setUp()
    return Effect.gen(function* () {
      for (let failures = 0; failures < 5; failures++) {
        yield* enter
        yield* TestClock.adjust("10 minutes")
        yield* failed(yield* last)
      }
      expect((yield* gate.status).pause).toBeGreaterThan(10_000)
      yield* gate.answered
      expect(yield* gate.status).toMatchObject({
        problem: Option.none(),
        answered: Option.some(3_000_000),
        pause: 0
      })
      yield* enter
      yield* rest
      yield* failed(yield* last)
      expect((yield* gate.status).pause).toBeLessThanOrEqual(1000)
    })
  })

  it.effect("opens for those who wait when the policy server was seen to answer elsewhere", () => {
    const { gate, passes, enterAll, last } = setUp()
    return Effect.gen(function* () {
      yield* enterAll(20)
      yield* rest
      yield* failed(yield* last)
      yield* gate.answered
      yield* rest
      expect(passes).toHaveLength(1 + UpstreamGate.maxSending)
    })
  })

  it.effect("opens for those who wait when one is answered that was under way before", () => {
    const { enterAll, passes, last } = setUp()
    return Effect.gen(function* () {
      yield* enterAll(2)
      yield* rest
      ;(yield* last).answered()
      yield* rest
      expect(passes).toHaveLength(2)
      yield* passes[0]?.failed("no connection") ?? Effect.void
      yield* enterAll(2)
      yield* rest
      expect(passes).toHaveLength(2)
      passes[1]?.answered()
      yield* rest
      expect(passes).toHaveLength(4)
    })
  })

  it.effect("lets the next probe through though one that was answered is not done", () => {
    const { enterAll, passes, last } = setUp()
    return Effect.gen(function* () {
      yield* enterAll(3)
      yield* rest
      const probe = yield* last
      probe.answered()
      yield* rest
      expect(passes).toHaveLength(3)
      yield* passes[1]?.failed("no connection") ?? Effect.void
      yield* enterAll(1)
      yield* TestClock.adjust(Duration.toMillis(retry.max))
      expect(passes).toHaveLength(4)
    })
  })

  it.effect("lets a probe go at once when told to, and only one", () => {
    const { gate, passes, enterAll, last } = setUp()
    return Effect.gen(function* () {
      yield* enterAll(20)
      yield* rest
      yield* failed(yield* last)
      yield* rest
      expect(passes).toHaveLength(1)
      yield* gate.probeNow
      yield* rest
      expect(passes).toHaveLength(2)
      yield* gate.probeNow
      yield* rest
      expect(passes).toHaveLength(2)
    })
  })

  it.effect("lets the next one probe when the first is done without having asked anybody", () => {
    const { gate, passes, enterAll, last } = setUp()
    return Effect.gen(function* () {
      yield* enterAll(3)
      yield* rest
      for (let done = 1; done <= 2; done++) {
        ;(yield* last).release()
        yield* rest
        expect(passes).toHaveLength(done + 1)
      }
      expect((yield* gate.status).problem).toEqual(Option.none())
    })
  })

  it.effect("gives the place of one who no longer waits to the next, whatever it waited for", () => {
    const { passes, enter, enterAll, last } = setUp()
    return Effect.gen(function* () {
      yield* enter
      yield* rest
      const impatient = yield* enterAll(3 * UpstreamGate.maxSending)
      yield* rest
      yield* Effect.forEach(impatient, Fiber.interrupt)
      yield* answered(yield* last)
      yield* enterAll(UpstreamGate.maxSending)
      yield* rest
      expect(passes).toHaveLength(1 + UpstreamGate.maxSending)
    })
  })

  for (const [when, interruptsFirst] of [
    ["before somebody leaves one", true],
    ["in the turn in which it is given one", false]
  ] as const)
    it.effect(`loses no place where one who waits is interrupted ${when}`, () => {
      const { passes, enter, enterAll, last } = setUp()
      return Effect.gen(function* () {
        yield* enterAll(UpstreamGate.maxSending)
        yield* rest
        ;(yield* last).answered()
        yield* rest
        expect(passes).toHaveLength(UpstreamGate.maxSending)
        const impatient = yield* enter
        yield* rest
        yield* enter
        yield* rest
        const interrupt = Effect.sync(() => impatient.unsafeInterruptAsFork(FiberId.none))
        if (interruptsFirst) yield* Effect.andThen(interrupt, rest)
        ;(yield* last).release()
        if (!interruptsFirst) yield* interrupt
        yield* rest
        expect(Option.isSome(yield* Fiber.poll(impatient))).toBe(true)
        expect(passes).toHaveLength(1 + UpstreamGate.maxSending)
      })
    })
})
