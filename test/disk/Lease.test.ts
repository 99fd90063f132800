import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Scope, TestClock } from "effect"
import { hold } from "../../src/disk/Lease.ts"
import { Leases } from "../../src/testing/Leases.ts"
import { listening } from "../support/Stores.ts"

const folder = { root: "/var/relay/runs", prepare: Effect.void }
const grace = Duration.seconds(30)

/** A relay holds the folder, until its scope closes; another begins to. */
const two = Effect.gen(function* () {
  const leases = new Leases()
  const { said, layer } = listening()
  const old = yield* Scope.make()
  yield* hold(folder, grace).pipe(Scope.extend(old), Effect.provide(leases.of("process 1 on host")))
  const next = yield* hold(folder, grace).pipe(
    Effect.provide(Layer.merge(leases.of("process 2 on host"), layer)),
    Effect.fork
  )
  yield* TestClock.adjust(0)
  return { old, next, said }
})

describe("a folder that another relay works on", () => {
  it.scoped("is had when that one ends within the grace; meanwhile it is said once who is waited for", () =>
    Effect.gen(function* () {
      const { old, next, said } = yield* two
      yield* TestClock.adjust("25 seconds")
      expect(next.unsafePoll()).toBe(null)
      yield* Scope.close(old, Exit.void)
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(next)).toBe(undefined)
      expect(said).toHaveLength(1)
      expect(said[0]).toContain("/var/relay/runs process 1 on host")
    })
  )

  it.scoped("is none to start on when that one stays; the folder and that one are named", () =>
    Effect.gen(function* () {
      const { next } = yield* two
      yield* TestClock.adjust("29 seconds")
      expect(next.unsafePoll()).toBe(null)
      yield* TestClock.adjust("2 seconds")
      const error = yield* Effect.flip(Fiber.join(next))
      expect(error).toMatchObject({ _tag: "FolderUnusable", folder: "/var/relay/runs" })
      expect(error.message).toContain("/var/relay/runs")
      expect(error.message).toContain("process 1 on host")
    })
  )
})

describe("a folder that can't be made", () => {
  it.scoped("is not taken", () =>
    Effect.gen(function* () {
      const prepare = Effect.fail({ message: "EACCES: permission denied" })
      const error = yield* Effect.flip(
        Effect.provide(hold({ root: "/var/relay/runs", prepare }, grace), new Leases().of("nobody"))
      )
      expect(error.message).toMatch(/\/var\/relay\/runs .*user .*EACCES/)
    })
  )
})
