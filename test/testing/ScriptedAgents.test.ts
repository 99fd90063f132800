import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, TestClock } from "effect"
import { type AgentOutput, AgentProcess } from "../../src/remote-run/agents/AgentProcess.ts"
import { type AgentScript, layer, ScriptedAgents } from "../../src/testing/ScriptedAgents.ts"

const scripts: Readonly<Record<string, AgentScript>> = {
  talks: {
    writes: [{ bytes: "one\n" }, { after: "2 seconds", stream: "stderr", bytes: "two\n" }],
    lasts: "1 seconds",
    exit: 3
  },
  hangs: { exit: "hang", dying: "5 seconds" },
  fails: { unstartable: "no such command" }
}

const agents = Layer.suspend(() => layer(({ hostname }) => scripts[hostname] ?? {}))

const run = (hostname: string, output: AgentOutput = { write: () => true }) =>
  Effect.flatMap(AgentProcess, (agents) => agents.run({ hostname, classes: [] }, output))

describe("scripted agents", () => {
  it.effect("write and end when their clock says so", () =>
    Effect.gen(function* () {
      let written = ""
      const fiber = yield* Effect.fork(
        run("talks", {
          write: (stream, bytes) => {
            written += `${stream} ${Buffer.from(bytes)}`
            return true
          }
        })
      )
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(written, "stdout one\n")
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(written, "stdout one\nstderr two\n")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(yield* Fiber.join(fiber), { code: 3, signal: null })
    }).pipe(Effect.provide(agents))
  )

  it.effect("wait for a reader that wants no more", () =>
    Effect.gen(function* () {
      let goOn = () => {}
      const write: AgentOutput["write"] = (stream, _bytes, resume) => {
        goOn = resume
        return stream !== "stdout"
      }
      const fiber = yield* Effect.fork(run("talks", { write }))
      yield* TestClock.adjust("1 hour")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      goOn()
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).code, 3)
    }).pipe(Effect.provide(agents))
  )

  it.effect("are recorded: starts, how many at once, ends, interruptions", () =>
    Effect.gen(function* () {
      const record = yield* ScriptedAgents
      const hanging = yield* Effect.fork(run("hangs"))
      const talking = yield* Effect.fork(run("talks"))
      yield* TestClock.adjust("0 seconds")
      assert.strictEqual((yield* Effect.flip(run("fails"))).message, "no such command")
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(talking)
      const interrupting = yield* Effect.fork(Fiber.interrupt(hanging))
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(yield* record.running, ["hangs"])
      yield* TestClock.adjust("1 seconds")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.join(interrupting)))
      assert.deepStrictEqual(
        (yield* record.started).map(({ hostname }) => hostname),
        ["hangs", "talks", "fails"]
      )
      assert.deepStrictEqual(yield* record.ended, ["talks"])
      assert.deepStrictEqual(yield* record.interrupted, ["hangs"])
      assert.strictEqual(yield* record.mostAtOnce, 2)
    }).pipe(Effect.provide(agents))
  )
})
