import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Scope, TestClock } from "effect"
import * as Fifos from "../../../src/remote-run/agents/Fifos.ts"
import { environment, folder } from "../../support/LocalScripts.ts"

describe("FIFOs", () => {
  it.scoped("that could not be made are tried again ten seconds later", () =>
    Effect.gen(function* () {
      yield* environment({ TMPDIR: yield* folder })
      const fifos = yield* Fifos.make
      const broken = yield* Scope.make()
      yield* Scope.extend(environment({ PATH: "/nonexistent" }), broken)
      assert.include((yield* Effect.flip(fifos.take)).message, "mkfifo")
      yield* Scope.close(broken, Exit.void)
      // The known failure, at no cost.
      assert.include((yield* Effect.flip(fifos.take)).message, "mkfifo")
      yield* TestClock.adjust("10 seconds")
      const [stdout, stderr] = yield* fifos.take
      assert.isTrue([stdout, stderr].every((file) => fs.statSync(file).isFIFO()))
    })
  )

  it.scoped("are made elsewhere while the temporary folder is of no use", () =>
    Effect.gen(function* () {
      yield* environment({ TMPDIR: "/nonexistent" })
      const [stdout] = yield* (yield* Fifos.make).take
      assert.isTrue(stdout.startsWith("/dev/shm/"))
    })
  )

  it.scoped("leave nothing, neither made nor failed", () =>
    Effect.gen(function* () {
      const temporary = yield* folder
      yield* environment({ TMPDIR: temporary })
      const scope = yield* Scope.make()
      const fifos = yield* Scope.extend(Fifos.make, scope)
      yield* fifos.take
      assert.strictEqual(fs.readdirSync(temporary).length, 1)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(fs.readdirSync(temporary), [])
      yield* environment({ PATH: "/nonexistent" })
      yield* Effect.flip(Effect.flatMap(Fifos.make, ({ take }) => take))
      assert.deepStrictEqual(fs.readdirSync(temporary), [])
    })
  )

  it.scoped("serve another agent once nobody has them open, unless their folder was given up meanwhile", () =>
    Effect.gen(function* () {
      const temporary = yield* folder
      yield* environment({ TMPDIR: temporary })
      const fifos = yield* Fifos.make
      const first = yield* fifos.take
      fifos.give(first)
      expect(yield* fifos.take).toEqual(first)
      const other = yield* fifos.take
      expect(other).not.toEqual(first)
      fifos.remove(other)
      expect(other.some((file) => fs.existsSync(file))).toBe(false)
      yield* fifos.renew
      fifos.give(first)
      const [stdout] = yield* fifos.take
      expect(path.dirname(stdout)).not.toBe(path.dirname(first[0]))
    })
  )

  it.scoped("of a daemon that was killed are removed by the next, and no others'", () =>
    Effect.gen(function* () {
      const temporary = yield* folder
      yield* environment({ TMPDIR: temporary })
      const living = yield* Fifos.make
      const [fifo] = yield* living.take
      const dead = path.join(temporary, "rudder-relay-fifos-99999999-1-abcdef")
      fs.mkdirSync(dead, { mode: 0o700 })
      yield* Fifos.make
      assert.deepStrictEqual(fs.readdirSync(temporary), [path.basename(path.dirname(fifo))])
    })
  )
})
