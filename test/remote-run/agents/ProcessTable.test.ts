import { spawn } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Marks from "../../../src/remote-run/agents/Marks.ts"
import * as ProcessTable from "../../../src/remote-run/agents/ProcessTable.ts"
import * as Signals from "../../../src/remote-run/agents/Signals.ts"
import { lives, until } from "../../support/LocalScripts.ts"

/** A process of the test's own, until the scope closes. */
const sleeping = Effect.acquireRelease(
  Effect.async<number>((resume) => {
    const child = spawn("sleep", ["300"], { stdio: "ignore", env: { ...process.env, MINE: "yes" } })
    child.once("spawn", () => resume(Effect.succeed(child.pid ?? 0)))
  }),
  (pid) => Effect.sync(() => void Signals.toGroup(-pid, "SIGKILL"))
)

describe("a process", () => {
  it("is read whatever its name is", () => {
    const rest = "0 0 0 0 0 0 0 0 0 0 0 20 0 1 0 98765 1 2"
    assert.deepStrictEqual(ProcessTable.parseStat(`42 (a) S 9 (b) S 7 6 5 ${rest}`), {
      pid: 42,
      parent: 7,
      session: 5,
      start: 98765,
      zombie: false
    })
    assert.strictEqual(ProcessTable.parseStat(`42 (a) Z 7 6 5 ${rest}`)?.zombie, true)
    assert.isUndefined(ProcessTable.parseStat(""))
  })

  it.scopedLive("is in the table with its parent, its start and its environment", () =>
    Effect.gen(function* () {
      const pid = yield* sleeping
      const found = (yield* Effect.promise(ProcessTable.readAll)).get(pid)
      assert.strictEqual(found?.parent, process.pid)
      assert.deepStrictEqual(found, ProcessTable.find(pid))
      assert.include(ProcessTable.environment(pid)?.split("\0") ?? [], "MINE=yes")
      assert.isUndefined((yield* Effect.promise(ProcessTable.readAll)).get(2 ** 22 + 1))
    })
  )
})

describe("a signal", () => {
  it.scopedLive("does not reach a process that has the number since", () =>
    Effect.gen(function* () {
      const pid = yield* sleeping
      const found = ProcessTable.find(pid)
      if (found === undefined) return assert.fail("not found")
      assert.strictEqual(Signals.toProcess({ ...found, start: found.start - 1 }, "SIGKILL"), "Gone")
      assert.isTrue(lives(pid))
      assert.strictEqual(Signals.toProcess(found, "SIGKILL"), "Sent")
      yield* until(() => !lives(pid))
    })
  )

  it("may be sent to root by who has CAP_KILL", () => {
    assert.isTrue(Signals.hasCapKill("Name:\tnode\nCapEff:\t0000000000000020\nCapBnd:\t0\n"))
    assert.isTrue(Signals.hasCapKill("CapEff:\t000001ffffffffff\n"))
    assert.isFalse(Signals.hasCapKill("CapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\n"))
    assert.isFalse(Signals.hasCapKill(""))
  })
})

describe("marks", () => {
  it("are each one family's at a time, and come back", () => {
    const marks = Marks.make()
    if (marks === undefined) return assert.fail("this system has none")
    const taken: Array<number> = []
    for (let mark = marks.take(); mark !== undefined; mark = marks.take()) taken.push(mark)
    assert.strictEqual(new Set(taken).size, taken.length)
    assert.isAtLeast(taken.length, 400)
    marks.give(taken[3] ?? 0)
    assert.strictEqual(marks.take(), taken[3])
    assert.isUndefined(marks.take())
  })

  it.scopedLive("are not on what nobody marked", () =>
    Effect.gen(function* () {
      const pid = yield* sleeping
      assert.isUndefined(Marks.make()?.of(pid))
    })
  )
})
