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
      const { paths } = yield* fifos.take
      assert.isTrue(paths.every((file) => fs.statSync(file).isFIFO()))
    })
  )

  it.scoped("are made elsewhere while the temporary folder is of no use", () =>
    Effect.gen(function* () {
      yield* environment({ TMPDIR: "/nonexistent" })
      const { folder } = yield* (yield* Fifos.make).take
      assert.isTrue(folder.startsWith("/dev/shm/"))
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
      expect(yield* fifos.take).toBe(first)
      const other = yield* fifos.take
      expect(other.paths).not.toEqual(first.paths)
      fifos.remove(other)
      expect(other.paths.some((file) => fs.existsSync(file))).toBe(false)
      yield* fifos.renew
      fifos.give(first)
      expect((yield* fifos.take).folder).not.toBe(first.folder)
    })
  )

  it.scoped("stay open for the next agents, 64 pairs at most, until there are to be none", () =>
    Effect.gen(function* () {
      yield* environment({ TMPDIR: yield* folder })
      const scope = yield* Scope.make()
      const fifos = yield* Scope.extend(Fifos.make, scope)
      const others = yield* fifos.take
      const pairs = yield* Effect.replicateEffect(fifos.take, 70)
      for (const pair of pairs) pair.open()
      for (const pair of pairs) fifos.give(pair)
      const open = () => pairs.filter(({ isOpen }) => isOpen)
      expect(open()).toHaveLength(64)
      const next = yield* fifos.take
      expect(next.isOpen).toBe(true)
      yield* fifos.renew
      expect(open()).toEqual([next])
      fifos.give(next)
      expect(next.isOpen).toBe(false)
      fifos.give(others)
      yield* Scope.close(scope, Exit.void)
      expect(fs.existsSync(next.folder)).toBe(false)
    })
  )

  it.scoped("are closed once no agent has any, whatever became of the last one's", () =>
    Effect.gen(function* () {
      yield* environment({ TMPDIR: yield* folder })
      const fifos = yield* Fifos.make
      for (const end of [fifos.give, fifos.remove]) {
        const pairs = yield* Effect.replicateEffect(fifos.take, 3)
        for (const pair of pairs) pair.open()
        const [first, second, last] = pairs
        assert(first !== undefined && second !== undefined && last !== undefined)
        fifos.give(first)
        fifos.give(second)
        expect(pairs.map(({ isOpen }) => isOpen)).toEqual([true, true, true])
        end(last)
        expect(pairs.map(({ isOpen }) => isOpen)).toEqual([false, false, false])
        // They serve the next ones still.
        const again = yield* Effect.replicateEffect(fifos.take, 3)
        expect(again).toEqual(expect.arrayContaining([first, second]))
        for (const pair of again) fifos.give(pair)
      }
    })
  )

  it.scoped("that somebody has opened again by their paths, or written to, are another agent's no more", () =>
    Effect.gen(function* () {
      yield* environment({ TMPDIR: yield* folder })
      const fifos = yield* Fifos.make
      // An agent that goes on.
      yield* fifos.take
      const again = (end: "stdout" | "stderr", use: (fd: number) => void) =>
        Effect.gen(function* () {
          const pair = yield* fifos.take
          pair.open()
          fifos.give(pair)
          expect(yield* fifos.take).toBe(pair)
          fifos.give(pair)
          const fd = fs.openSync(pair[end].path, "w")
          use(fd)
          expect(yield* fifos.take).not.toBe(pair)
          expect([pair.isOpen, ...pair.paths.map((file) => fs.existsSync(file))]).toEqual([
            false,
            false,
            false
          ])
          return fd
        })
      fs.closeSync(yield* again("stdout", () => {}))
      yield* again("stderr", (fd) => {
        fs.writeSync(fd, "to nobody")
        fs.closeSync(fd)
      })
    })
  )

  it.scoped("of a daemon that was killed are removed by the next, and no others'", () =>
    Effect.gen(function* () {
      const temporary = yield* folder
      yield* environment({ TMPDIR: temporary })
      const living = yield* Fifos.make
      const { folder: alive } = yield* living.take
      const dead = path.join(temporary, "rudder-relay-fifos-99999999-1-abcdef")
      fs.mkdirSync(dead, { mode: 0o700 })
      yield* Fifos.make
      assert.deepStrictEqual(fs.readdirSync(temporary), [path.basename(alive)])
    })
  )
})
