import { describe, expect, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer, TestClock } from "effect"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import { RemoteRun } from "../../src/remote-run/RemoteRun.ts"
import * as GracefulStop from "../../src/server/GracefulStop.ts"
import { RelayServer } from "../../src/server/RelayServer.ts"

/** A daemon whose answers are done when the test says so; `steps` is what its stop did. */
const begin = Effect.gen(function* () {
  const steps: Array<string> = []
  const answered = yield* Deferred.make<void>()
  const step = (name: string) => Effect.sync(() => void steps.push(name))
  const server = Layer.mock(RelayServer, {
    stopAccepting: step("accepts no more"),
    answered: Deferred.await(answered),
    close: step("closes")
  })
  const remoteRun = Layer.mock(RemoteRun, { drain: Effect.void, cancelAll: step("cancels") })
  const settings = makeSettings({ general: { shutdownGrace: Duration.seconds(10) } })
  const begun = yield* Deferred.make<void>()
  const goesOn = Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
  const daemon = yield* Effect.scoped(Effect.andThen(GracefulStop.atEnd, goesOn)).pipe(
    Effect.provide([server, remoteRun, Layer.succeed(RelayConfig, settings)]),
    Effect.fork
  )
  yield* Deferred.await(begun)
  return { steps, answered, daemon }
})

describe("a graceful stop, of a fiber that is interrupted", () => {
  it.effect("waits for what is under way", () =>
    Effect.gen(function* () {
      const { steps, answered, daemon } = yield* begin
      const end = yield* Effect.fork(Fiber.interrupt(daemon))
      yield* TestClock.adjust("9 seconds")
      expect(steps).toEqual(["accepts no more"])
      yield* Deferred.succeed(answered, undefined)
      yield* Fiber.join(end)
      expect(steps).toEqual(["accepts no more", "closes"])
    })
  )

  it.effect("goes on where the fiber is interrupted again", () =>
    Effect.gen(function* () {
      const { steps, answered, daemon } = yield* begin
      const ends = []
      for (const passed of ["1 second", "1 second", "1 second"] as const) {
        ends.push(yield* Effect.fork(Fiber.interrupt(daemon)))
        yield* TestClock.adjust(passed)
        expect(steps).toEqual(["accepts no more"])
      }
      yield* Deferred.succeed(answered, undefined)
      yield* Fiber.joinAll(ends)
      expect(steps).toEqual(["accepts no more", "closes"])
    })
  )

  it.effect("waits no longer than the grace", () =>
    Effect.gen(function* () {
      const { steps, daemon } = yield* begin
      const end = yield* Effect.fork(Fiber.interrupt(daemon))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(end)
      expect(steps).toEqual(["accepts no more", "cancels", "closes"])
    })
  )
})
