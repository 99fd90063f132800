import { createServer } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { Connections } from "../../src/server/Connections.ts"

describe("the connections of a listener", () => {
  it.effect("are closed at the end of a scope, though a handler never ends", () =>
    Effect.gen(function* () {
      const connections = new Connections(createServer(), 1000)
      connections.begin()
      // As finalizers are run.
      const closing = yield* Effect.fork(Effect.uninterruptible(connections.close))
      yield* TestClock.adjust("999 millis")
      expect(closing.unsafePoll()).toBeNull()
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(closing)
    })
  )
})
