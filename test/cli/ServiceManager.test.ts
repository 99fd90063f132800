import { existsSync, writeFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope, TestClock } from "effect"
import * as ServiceManager from "../../src/cli/ServiceManager.ts"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { eventually } from "../support/Until.ts"

/** A `systemd-notify` that is asked and never comes back, until the scope ends. */
const hanging = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const script = `#!/bin/sh\n: > '${folder}'/"\${1%=*}"\nexec sleep 1000\n`
  writeFileSync(`${folder}/systemd-notify`, script, { mode: 0o700 })
  const { PATH, NOTIFY_SOCKET } = process.env
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      Object.assign(process.env, { PATH: `${folder}:${PATH}`, NOTIFY_SOCKET: "/run/notify" })
    ),
    () =>
      Effect.sync(() => {
        process.env.PATH = PATH
        if (NOTIFY_SOCKET === undefined) delete process.env.NOTIFY_SOCKET
        else process.env.NOTIFY_SOCKET = NOTIFY_SOCKET
      })
  )
  return { isAsked: (word: string) => existsSync(`${folder}/${word}`) }
})

describe("a systemd-notify that hangs", () => {
  it.scoped("holds up neither a start nor a stop", () =>
    Effect.gen(function* () {
      const { isAsked } = yield* hanging
      const scope = yield* Scope.make()
      const layer = ServiceManager.layer(makeSettings({}), "127.0.0.1:3030")
      const started = yield* Effect.fork(Layer.buildWithScope(layer, scope))
      yield* eventually(() => isAsked("READY"))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(started)
      const stopped = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* eventually(() => isAsked("STOPPING"))
      yield* TestClock.adjust("10 seconds")
      expect(yield* Fiber.await(stopped)).toEqual(Exit.void)
    })
  )
})
