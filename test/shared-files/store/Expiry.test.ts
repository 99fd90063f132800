import { describe, expect, it } from "@effect/vitest"
import { Clock, Duration, Effect, Layer, Option, TestClock } from "effect"
import { keyOf } from "../../../src/shared-files/file/Location.ts"
import { SharedFileStore } from "../../../src/shared-files/store/SharedFileStore.ts"
import { rest } from "../../support/Outboxes.ts"
import { listening, locationOf, openDisk, storeLayer, upload } from "../../support/Stores.ts"

const location = locationOf("a")
const path = `/store/${keyOf(location)}`

const expiring = (seconds: number) => ({ expires: Option.some(seconds) })

/** A wall clock that a test moves alone, beside the one that goes with the monotonic one. */
const jumpingClock = (jump: () => number) =>
  Layer.unwrapEffect(
    Effect.clockWith((clock) =>
      Effect.succeed(
        Layer.setClock({
          [Clock.ClockTypeId]: Clock.ClockTypeId,
          sleep: (duration) => clock.sleep(duration),
          unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + jump(),
          currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + jump()),
          unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
          currentTimeNanos: clock.currentTimeNanos
        })
      )
    )
  )

describe("the clean-up", () => {
  it.effect("removes what has expired, with its metadata, first after one period", () => {
    const { fs, disk } = openDisk()
    return Effect.gen(function* () {
      yield* upload(location, "hello", expiring(1))
      yield* upload(locationOf("b"), "hello", expiring(601))
      yield* upload(locationOf("c"), "hello")
      const names = () => fs.readdirSync("/store/target/source")
      yield* TestClock.adjust("599 seconds")
      yield* rest
      expect(names()).toHaveLength(6)
      yield* TestClock.adjust("1 seconds")
      yield* rest
      expect(names()).toEqual(["b", "b.metadata", "c", "c.metadata"])
      yield* TestClock.adjust("10 minutes")
      yield* rest
      expect(names()).toEqual(["c", "c.metadata"])
    }).pipe(Effect.provide(storeLayer(disk, { cleanupFrequency: Duration.minutes(10) })))
  })

  for (const [when, jumpsAt, gone] of [
    ["before the first pass", 1, 2],
    ["between two", 601, 3]
  ] as const)
    it.effect(`leaves out a pass when the wall clock has jumped: ${when}`, () => {
      const { fs, disk } = openDisk()
      const { said, layer } = listening()
      let jump = 0
      const statement = Effect.fn(function* (clock: TestClock.TestClock) {
        yield* upload(location, "hello", expiring(100_000))
        yield* clock.adjust(`${jumpsAt} seconds`)
        yield* rest
        jump = 200_000_000
        for (let pass = jumpsAt > 600 ? 2 : 1; pass <= gone; pass++) {
          expect(fs.existsSync(path)).toBe(true)
          yield* clock.setTime(pass * 600_000)
          yield* rest
        }
        expect(fs.existsSync(path)).toBe(false)
        expect(said.filter((line) => line.startsWith("the clock jumped"))).toEqual([
          "the clock jumped: no shared file is removed this time 200000000"
        ])
      })
      const store = storeLayer(disk, { cleanupFrequency: Duration.minutes(10) }).pipe(
        Layer.provideMerge(layer),
        Layer.provide(jumpingClock(() => jump))
      )
      return Effect.flatMap(TestClock.testClock(), (clock) => Effect.provide(statement(clock), store))
    })

  it.effect("says which metadata it can't read, and goes on with the others", () => {
    const { fs, disk } = openDisk()
    const { said, layer } = listening()
    return Effect.gen(function* () {
      for (const name of ["a", "b", "c"]) yield* upload(locationOf(name), "hello", expiring(0))
      fs.writeFileSync(`${path}.metadata`, "expires=0\n")
      fs.unlinkSync("/store/target/source/b.metadata")
      fs.symlinkSync("/store/target/source/c.metadata", "/store/target/source/b.metadata")
      yield* (yield* SharedFileStore).cleanUp
      expect(fs.readdirSync("/store/target/source")).toEqual(["a", "a.metadata", "b", "b.metadata"])
      const complaints = said.filter((line) => line.startsWith("a shared file can't be looked at"))
      expect(complaints).toHaveLength(2)
      expect(complaints[0]).toContain("target/source/a")
      expect(complaints[1]).toContain("target/source/b")
    }).pipe(Effect.provide(storeLayer(disk).pipe(Layer.provideMerge(layer))))
  })
})
