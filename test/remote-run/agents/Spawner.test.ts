/** When the process that starts agents is started. */
import * as async_hooks from "node:async_hooks"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Scope, TestClock } from "effect"
import * as Spawner from "../../../src/remote-run/agents/Spawner.ts"

/** What this process starts until the scope ends. */
const starts = Effect.gen(function* () {
  let count = 0
  const hook = async_hooks.createHook({
    init: (_id, type) => {
      if (type === "PROCESSWRAP") count++
    }
  })
  yield* Effect.acquireRelease(
    Effect.sync(() => hook.enable()),
    () => Effect.sync(() => hook.disable())
  )
  return () => count
})

const grace = Duration.seconds(5)
const lasting = [{ command: "/bin/sh", parameters: ["-c", "exec sleep 1000"] }]
const request = {
  program: "/bin/true",
  parameters: [],
  cookie: "one",
  mark: undefined,
  stdout: "/dev/null",
  stderr: "/dev/null"
}
const events = {
  isWanted: true,
  started: () => {},
  failed: () => {},
  ended: () => {}
}

describe("Spawner", () => {
  it.scoped("is started behind the relay's own start", () =>
    Effect.gen(function* () {
      const started = yield* starts
      yield* Spawner.make(grace, true, lasting)
      yield* TestClock.adjust("900 millis")
      assert.strictEqual(started(), 0)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(started(), 1)
    })
  )

  it.scoped("is started for the first agent, if that comes sooner, and then no other is", () =>
    Effect.gen(function* () {
      const started = yield* starts
      const spawner = yield* Spawner.make(grace, true, lasting)
      spawner.spawn(request, events)
      assert.strictEqual(started(), 1)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(started(), 1)
    })
  )

  it.scoped("is not started ahead of an agent where there will be none", () =>
    Effect.gen(function* () {
      const started = yield* starts
      yield* Spawner.make(grace, false, lasting)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(started(), 0)
    })
  )

  it.scoped("is not started any more where the relay stops before", () =>
    Effect.gen(function* () {
      const started = yield* starts
      const scope = yield* Scope.make()
      yield* Scope.extend(Spawner.make(grace, true, lasting), scope)
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(started(), 0)
    })
  )
})
