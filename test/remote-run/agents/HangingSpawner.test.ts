/** When what starts agents stands still. Processes live in real time; how long they are waited for is the test's. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, LogLevel, Option, TestClock, TestServices } from "effect"
import { AgentProcess } from "../../../src/remote-run/agents/AgentProcess.ts"
import {
  collect,
  environment,
  folder,
  live,
  lives,
  openFiles,
  pids,
  run,
  shell,
  until
} from "../../support/LocalScripts.ts"

/** Says who has started it, and notes itself in a file that is called as its host; `waits` and `stays` go on. */
const agentScript = `echo $$ >>"$DIR/$4"; echo $PPID
case $4 in waits) while [ ! -e "$DIR/go" ]; do sleep 0.02; done;; stays) exec sleep 300;; esac`

const really = <A, E, R>(effect: Effect.Effect<A, E, R>) => TestServices.provideLive(effect)

const holdsSoon = (condition: () => boolean) => really(until(condition))

/** Agents, and what is logged. */
const agents = (options: Parameters<typeof live>[1] = {}) =>
  Effect.gen(function* () {
    const agent = yield* shell(agentScript)
    const logged: Array<string> = []
    const logger = Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ message }) => void logged.push(String(message)))
    )
    const log = Layer.merge(logger, Logger.minimumLogLevel(LogLevel.Debug))
    const layer = yield* Layer.build(Layer.provideMerge(live(agent, options), log))
    const order = (hostname: string) =>
      Effect.gen(function* () {
        const { output, text } = collect()
        const fiber = yield* run(output, { hostname, classes: [] }).pipe(
          Effect.provide(layer),
          Effect.either,
          Effect.fork
        )
        return { fiber, starter: () => Number(text("stdout").split("\n")[0]) }
      })
    const notes = (hostname: string) => fs.existsSync(path.join(path.dirname(agent), hostname))
    /** Stops the process that starts agents, for good. */
    const stop = (starter: number) => {
      process.kill(starter, "SIGSTOP")
      return Effect.addFinalizer(() => Effect.sync(() => lives(starter) && process.kill(starter, "SIGKILL")))
    }
    const letGo = Effect.sync(() => fs.writeFileSync(path.join(path.dirname(agent), "go"), ""))
    return { agent, layer, logged, order, notes, stop, letGo }
  })

const unkillable = Effect.flatMap(AgentProcess, (agents) => agents.unkillable)

describe("a process that starts agents, which stands still,", () => {
  it.scoped("is given up within a minute, and the next one starts what it was asked for", () =>
    Effect.gen(function* () {
      const { logged, order, stop } = yield* agents()
      const first = yield* order("first")
      yield* really(Fiber.join(first.fiber))
      yield* stop(first.starter())
      const before = openFiles()
      const second = yield* order("second")
      yield* holdsSoon(() => openFiles() > before)
      yield* TestClock.adjust("59 seconds")
      assert.isTrue(lives(first.starter()))
      yield* TestClock.adjust("1 second")
      const end = yield* really(Fiber.join(second.fiber))
      assert.deepStrictEqual(end._tag === "Right" && end.right, { code: 0, signal: null })
      assert.notStrictEqual(second.starter(), first.starter())
      assert.isFalse(lives(first.starter()))
      assert.include(logged, "the process that starts agents has not answered for 30 seconds, and was killed")
    })
  )

  it.scoped("is given up within a minute, and an agent of its that is over has an end that says so", () =>
    Effect.gen(function* () {
      const { agent, layer, letGo, logged, order, stop } = yield* agents()
      const { fiber, starter } = yield* order("waits")
      const [pid = 0] = yield* really(pids(agent, "waits"))
      yield* holdsSoon(() => starter() > 0)
      yield* stop(starter())
      yield* letGo
      yield* holdsSoon(() => !lives(pid))
      yield* TestClock.adjust("60 seconds")
      yield* holdsSoon(() => !lives(starter()))
      // Its end is seen, and then those of its agents are looked for in the process table, again and again.
      yield* really(Effect.sleep("10 millis")).pipe(
        Effect.zipRight(TestClock.adjust("100 millis")),
        Effect.repeat({ until: () => Effect.map(Fiber.poll(fiber), Option.isSome), times: 1000 })
      )
      const end = yield* Fiber.join(fiber)
      assert.strictEqual(
        end._tag === "Left" && end.left.message,
        `how ${agent} ended is not known: the process that starts agents has not answered for 30 seconds, and was killed`
      )
      assert.strictEqual(yield* unkillable.pipe(Effect.provide(layer)), 0)
      assert.include(
        logged,
        "the process that starts agents has not answered for 30 seconds, and was killed; the agents it started go on, but how they end can't be known"
      )
    })
  )

  it.scoped("is not given up while it answers, though an agent goes on for hours", () =>
    Effect.gen(function* () {
      const { letGo, order } = yield* agents()
      const { fiber, starter } = yield* order("waits")
      yield* holdsSoon(() => starter() > 0)
      for (let i = 0; i < 10; i++) {
        yield* TestClock.adjust("30 seconds")
        // What it was asked before, it has answered by then.
        const other = yield* order("other")
        yield* really(Fiber.join(other.fiber))
        assert.strictEqual(other.starter(), starter())
      }
      assert.isTrue(lives(starter()))
      yield* letGo
      const end = yield* really(Fiber.join(fiber))
      assert.deepStrictEqual(end._tag === "Right" && end.right, { code: 0, signal: null })
    })
  )

  it.scoped(
    "is killed five seconds after the interruption of an agent that it was asked for, which never runs",
    () =>
      Effect.gen(function* () {
        const { logged, notes, order, stop } = yield* agents({ killGrace: "1 hour" })
        const first = yield* order("first")
        yield* really(Fiber.join(first.fiber))
        yield* stop(first.starter())
        const before = openFiles()
        const { fiber } = yield* order("never")
        yield* holdsSoon(() => openFiles() > before)
        const interrupting = yield* Effect.fork(Fiber.interrupt(fiber))
        yield* TestClock.adjust("4 seconds")
        assert.isTrue(lives(first.starter()))
        assert.strictEqual(
          logged.filter((line) => /^waiting for the process that starts agents/.test(line)).length,
          1
        )
        yield* TestClock.adjust("1 second")
        yield* really(Fiber.join(interrupting))
        assert.isFalse(lives(first.starter()))
        assert.isFalse(notes("never"))
      })
  )

  it.scoped("has its usual time where another agent runs that nobody ends", () =>
    Effect.gen(function* () {
      const { agent, notes, order, stop } = yield* agents({ killGrace: "1 hour" })
      const other = yield* order("waits")
      yield* really(pids(agent, "waits"))
      yield* holdsSoon(() => other.starter() > 0)
      const starter = other.starter()
      yield* stop(starter)
      const before = openFiles()
      const { fiber } = yield* order("never")
      yield* holdsSoon(() => openFiles() > before)
      const interrupting = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* TestClock.adjust("20 seconds")
      assert.isTrue(lives(starter))
      // With the other one there is nothing to lose.
      const interruptingOther = yield* Effect.fork(Fiber.interrupt(other.fiber))
      yield* really(Effect.sleep("10 millis")).pipe(
        Effect.zipRight(TestClock.adjust("100 millis")),
        Effect.repeat({ until: () => !lives(starter), times: 50 })
      )
      assert.isFalse(lives(starter))
      yield* really(Fiber.join(interrupting))
      yield* really(Fiber.join(interruptingOther))
      assert.isFalse(notes("never"))
    })
  )

  it.scopedLive("does not keep an agent of its from being ended, which is dead and not waited for", () =>
    Effect.gen(function* () {
      const { agent, layer, order, stop } = yield* agents({ killGrace: "1 hour" })
      const { fiber, starter } = yield* order("stays")
      const [pid = 0] = yield* pids(agent, "stays")
      yield* until(() => starter() > 0)
      yield* stop(starter())
      yield* Fiber.interrupt(fiber)
      assert.isFalse(lives(pid))
      assert.strictEqual(yield* unkillable.pipe(Effect.provide(layer)), 0)
    })
  )
})

describe("what is called perl, and", () => {
  /** Before the real one. Notes its processes in the file `perl`. */
  const perl = (script: string) =>
    Effect.gen(function* () {
      const dir = yield* folder
      const file = path.join(dir, "perl")
      fs.writeFileSync(file, `#!/bin/sh\nDIR='${dir}'\n${script}\n`, { mode: 0o755 })
      yield* environment({ PATH: `${dir}:${process.env.PATH}` })
      return file
    })

  it.scoped("never answers, is ended with its children, and node starts the agents", () =>
    Effect.gen(function* () {
      const file = yield* perl(`sleep 300 & echo $! >>"$DIR/pids"; wait`)
      const { logged, order } = yield* agents()
      const { fiber } = yield* order("first")
      const hanging = yield* really(pids(file, "pids"))
      yield* TestClock.adjust("30 seconds")
      const end = yield* really(Fiber.join(fiber))
      assert.deepStrictEqual(end._tag === "Right" && end.right, { code: 0, signal: null })
      yield* holdsSoon(() => !hanging.some(lives))
      assert.include(
        logged,
        "the process that starts agents has not answered for 30 seconds, and was killed; another program takes its place"
      )
    })
  )

  it.scoped("is killed before it had its time to answer, is called again for the next agent", () =>
    Effect.gen(function* () {
      const real = execFileSync("sh", ["-c", "command -v perl"], { encoding: "utf8" }).trim()
      const file = yield* perl(
        `[ -e "$DIR/pids" ] && exec ${real} "$@"; echo $$ >>"$DIR/pids"; exec sleep 300`
      )
      const { letGo, order } = yield* agents()
      const first = yield* order("stays")
      const [hanging = 0] = yield* really(pids(file, "pids"))
      const interrupting = yield* Effect.fork(Fiber.interrupt(first.fiber))
      yield* TestClock.adjust("5 seconds")
      yield* really(Fiber.join(interrupting))
      assert.isFalse(lives(hanging))
      const { fiber, starter } = yield* order("waits")
      yield* holdsSoon(() => starter() > 0)
      assert.strictEqual(fs.readlinkSync(`/proc/${starter()}/exe`), fs.realpathSync(real))
      yield* letGo
      yield* really(Fiber.join(fiber))
    })
  )

  it.scoped("ends, but has left its pipes to another, is no more waited for after two seconds", () =>
    Effect.gen(function* () {
      const file = yield* perl(
        `setsid sh -c "echo \\$\\$ >>$DIR/pids; exec sleep 300" & while [ ! -s "$DIR/pids" ]; do sleep 0.02; done; exit 2`
      )
      const { logged, order } = yield* agents()
      const { fiber } = yield* order("first")
      const [left = 0] = yield* really(pids(file, "pids"))
      yield* Effect.addFinalizer(() => Effect.sync(() => process.kill(left)))
      const ended = "the process that starts agents has ended (code 2); another program takes its place"
      yield* really(Effect.sleep("10 millis")).pipe(
        Effect.zipRight(TestClock.adjust("100 millis")),
        Effect.repeat({ until: () => logged.includes(ended), times: 1000 })
      )
      const end = yield* really(Fiber.join(fiber))
      assert.deepStrictEqual(end._tag === "Right" && end.right, { code: 0, signal: null })
      assert.isTrue(lives(left))
    })
  )
})
