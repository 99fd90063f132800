import * as async_hooks from "node:async_hooks"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Logger, Option, Scope, TestClock, TestServices } from "effect"
import type { DurationInput } from "effect/Duration"
import { AgentProcess } from "../../../src/remote-run/agents/AgentProcess.ts"
import {
  collect,
  environment,
  folder,
  live,
  lives,
  node,
  openFiles,
  pids,
  run,
  shell,
  until
} from "../../support/LocalScripts.ts"

/** Goes on until it is killed. */
const forever = "setInterval(() => {}, 1000)\n"

const unkillable = Effect.flatMap(AgentProcess, (agents) => agents.unkillable)

describe("AgentProcess", () => {
  describe("what is run", () => {
    it.scopedLive("is `<command> remote run -D a,b -- <hostname>`, without a shell in between", () =>
      Effect.gen(function* () {
        const agent = yield* shell(`for argument in "$@"; do echo "[$argument]"; done`)
        const { output, text } = collect()
        const exit = yield* run(output, { hostname: "$(id) `id`;*", classes: ["a", "b"] }).pipe(
          Effect.provide(live(agent))
        )
        assert.deepStrictEqual(exit, { code: 0, signal: null })
        assert.strictEqual(text("stdout"), "[remote]\n[run]\n[-D]\n[a,b]\n[--]\n[$(id) `id`;*]\n")
      })
    )

    it.scopedLive("has no -D without classes, and an empty stdin", () =>
      Effect.gen(function* () {
        const agent = yield* shell(`echo "$@"; cat; echo end`)
        const { output, text } = collect()
        yield* run(output).pipe(Effect.provide(live(agent)))
        assert.strictEqual(text("stdout"), "remote run -- node.example.com\nend\n")
      })
    )

    it.scopedLive("leads a session and a group of its own", () =>
      Effect.gen(function* () {
        const agent = yield* shell(`echo $$; cat /proc/$$/stat`)
        const { output, text } = collect()
        yield* run(output).pipe(Effect.provide(live(agent)))
        const [pid, stat = ""] = text("stdout").split("\n")
        const [, , group, session] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
        assert.deepStrictEqual([group, session], [pid, pid])
      })
    )

    it.scopedLive("is not started by the relay's own process, which that would hold up", () =>
      Effect.gen(function* () {
        const agent = yield* shell("exit 0")
        let starts = 0
        const hook = async_hooks.createHook({
          init: (_id, type) => {
            if (type === "PROCESSWRAP") starts++
          }
        })
        const layer = yield* Layer.build(live(agent))
        // Also makes the first FIFOs, with a process that is none of an agent.
        yield* run(collect().output).pipe(Effect.provide(layer))
        hook.enable()
        yield* Effect.addFinalizer(() => Effect.sync(() => hook.disable()))
        yield* Effect.replicateEffect(run(collect().output), 20, { concurrency: "unbounded" }).pipe(
          Effect.provide(layer)
        )
        assert.strictEqual(starts, 0)
      })
    )

    it.scopedLive("is started by a process in node where perl is of no use", () =>
      Effect.gen(function* () {
        const agent = yield* shell("readlink /proc/$PPID/exe")
        const broken = yield* folder
        fs.writeFileSync(path.join(broken, "perl"), "#!/bin/sh\nexit 2\n", { mode: 0o755 })
        yield* environment({ PATH: `${broken}:${process.env.PATH}` })
        const { output, text } = collect()
        yield* run(output).pipe(Effect.provide(live(agent)))
        assert.strictEqual(text("stdout"), `${fs.realpathSync(process.execPath)}\n`)
      })
    )

    it.scopedLive("has the daemon's environment without what is the daemon's alone", () =>
      Effect.gen(function* () {
        const agent = yield* shell("env")
        yield* environment({
          RUDDER_RELAY_LOG__LEVEL: "debug",
          NOTIFY_SOCKET: "/nonexistent/notify",
          LISTEN_FDS: "1",
          WATCHDOG_USEC: "1000000",
          JOURNAL_STREAM: "8:1",
          OF_THE_ADMINISTRATOR: "kept"
        })
        const { output, text } = collect()
        yield* run(output).pipe(Effect.provide(live(agent)))
        const names = text("stdout").split("\n")
        assert.include(names, "OF_THE_ADMINISTRATOR=kept")
        assert.deepStrictEqual(
          names.filter((line) => /^(RUDDER_RELAY_|NOTIFY|LISTEN|WATCHDOG|JOURNAL|NODE_CHANNEL)/.test(line)),
          []
        )
      })
    )

    it.scopedLive("may be given from the folder that the daemon was started in, or by name, for PATH", () =>
      Effect.gen(function* () {
        const agent = yield* shell("pwd")
        const outputOf = (command: string) =>
          Effect.suspend(() => {
            const { output, text } = collect()
            return run(output).pipe(
              Effect.provide(live(command)),
              Effect.map(() => text("stdout"))
            )
          })
        assert.strictEqual(yield* outputOf(path.relative(process.cwd(), agent)), "/\n")
        yield* environment({
          PATH: `${path.relative(process.cwd(), path.dirname(agent))}:${process.env.PATH}`
        })
        assert.strictEqual(yield* outputOf("agent"), "/\n")
      })
    )
  })

  describe("when the process that starts agents has been killed,", () => {
    const killParent = (text: () => string) =>
      until(() => text().includes("\n")).pipe(
        Effect.andThen(
          Effect.sync(() => {
            const spawner = Number(text().split("\n")[0])
            process.kill(spawner, "SIGKILL")
            return spawner
          })
        )
      )

    it.scopedLive("an agent that runs goes on, to an end that says what is not known of it", () =>
      Effect.gen(function* () {
        const agent = yield* shell(
          `echo $PPID; while [ ! -e "$DIR/go" ]; do sleep 0.02; done; echo "to the end"`
        )
        const layer = yield* Layer.build(live(agent))
        const { output, text } = collect()
        const fiber = yield* Effect.fork(Effect.flip(run(output).pipe(Effect.provide(layer))))
        const spawner = yield* killParent(() => text("stdout"))
        yield* until(() => !lives(spawner))
        assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
        fs.writeFileSync(path.join(path.dirname(agent), "go"), "")
        assert.strictEqual(
          (yield* Fiber.join(fiber)).message,
          `how ${agent} ended is not known: the process that starts agents has ended (SIGKILL)`
        )
        assert.include(text("stdout"), "to the end\n")
        assert.strictEqual(yield* unkillable.pipe(Effect.provide(layer)), 0)
      })
    )

    it.scopedLive("an agent that runs is ended as ever, with its descendants", () =>
      Effect.gen(function* () {
        const agent = yield* shell(
          `echo $$ >>"$DIR/pids"; sleep 300 & echo $! >>"$DIR/pids"; setsid sleep 300 & echo $! >>"$DIR/pids"; echo $PPID; wait`
        )
        const layer = yield* Layer.build(live(agent, { killGrace: "1 hour" }))
        const { output, text } = collect()
        const fiber = yield* Effect.fork(run(output).pipe(Effect.provide(layer)))
        const spawner = yield* killParent(() => text("stdout"))
        yield* until(() => !lives(spawner))
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual((yield* pids(agent, "pids")).filter(lives), [])
        assert.strictEqual(yield* unkillable.pipe(Effect.provide(layer)), 0)
      })
    )

    it.scopedLive("others are started by the next one, and each once", () =>
      Effect.gen(function* () {
        const agent = yield* shell(
          `echo "$4 $PPID" >>"$DIR/started"; while [ ! -e "$DIR/go" ]; do sleep 0.05; done`
        )
        const started = () => {
          const file = path.join(path.dirname(agent), "started")
          return fs.existsSync(file) ? fs.readFileSync(file, "utf8").split("\n").slice(0, -1) : []
        }
        const count = 60
        const layer = yield* Layer.build(live(agent))
        const order = (from: number, to: number) =>
          Effect.forEach(
            Array.from({ length: to - from }, (_, index) => `node${from + index}`),
            (hostname) => Effect.either(run(collect().output, { hostname, classes: [] })),
            { concurrency: "unbounded" }
          ).pipe(Effect.provide(layer), Effect.fork)
        const first = yield* order(0, count / 2)
        yield* until(() => started().length > 5)
        process.kill(Number(started()[0]?.split(" ")[1]), "SIGKILL")
        // However fast it was, there is something left to start.
        const second = yield* order(count / 2, count)
        yield* until(() => started().length === count)
        fs.writeFileSync(path.join(path.dirname(agent), "go"), "")
        const ends = [...(yield* Fiber.join(first)), ...(yield* Fiber.join(second))]
        assert.strictEqual(new Set(started().map((line) => line.split(" ")[0])).size, count)
        assert.isTrue(
          ends.every((end) =>
            end._tag === "Right" ? end.right.code === 0 : /is not known/.test(end.left.message)
          )
        )
        assert.isTrue(ends.some((end) => end._tag === "Right"))
        const parents = new Set(started().map((line) => line.split(" ")[1]))
        // An orphan's is process 1.
        parents.delete("1")
        assert.strictEqual(parents.size, 2)
      })
    )
  })

  describe("its end", () => {
    it.scopedLive("is its exit code, or the signal that ended it", () =>
      Effect.gen(function* () {
        const agent = yield* shell(`case $4 in seven) exit 7;; *) kill -9 $$;; esac`)
        const layer = yield* Layer.build(live(agent))
        const endOf = (hostname: string) =>
          run(collect().output, { hostname, classes: [] }).pipe(Effect.provide(layer))
        assert.deepStrictEqual(yield* endOf("seven"), { code: 7, signal: null })
        assert.deepStrictEqual(yield* endOf("nine"), { code: null, signal: "SIGKILL" })
      })
    )

    it.scopedLive(
      "comes though a descendant holds the output open, which goes on, also when it prints more",
      () =>
        Effect.gen(function* () {
          // More than a pipe holds, to an end that only one comes to that is neither ended nor stopped.
          const agent = yield* shell(`{ while [ ! -e "$DIR/over" ]; do sleep 0.02; done
          head -c 200000 /dev/zero && echo also >&2 && echo $$ >"$DIR/printed"; exec sleep 300; } &
          echo $! >"$DIR/left"; echo said`)
          const { output, text } = collect()
          yield* Effect.gen(function* () {
            const exit = yield* run(output)
            assert.deepStrictEqual(exit, { code: 0, signal: null })
            fs.writeFileSync(path.join(path.dirname(agent), "over"), "")
            yield* pids(agent, "printed")
            assert.deepStrictEqual([text("stdout"), text("stderr")], ["said\n", ""])
          }).pipe(Effect.provide(live(agent)))
          const [left = 0] = yield* pids(agent, "left")
          assert.isTrue(lives(left))
          process.kill(left)
        })
    )

    it.scopedLive("has what descendants print within a second", () =>
      Effect.gen(function* () {
        const agent = yield* shell(`{ while kill -0 $$ 2>/dev/null; do :; done; echo late; } & exit 0`)
        const { output, text } = collect()
        yield* run(output).pipe(Effect.provide(live(agent)))
        assert.strictEqual(text("stdout"), "late\n")
      })
    )

    it.scopedLive("ends nothing of what it left, in whatever session, nor does the end of the Layer", () =>
      Effect.gen(function* () {
        // A process of the agent's that would be ended notes it.
        const service = `trap "echo $$ >>$DIR/ended" TERM HUP PIPE; echo $$ >>"$DIR/left"; while :; do sleep 0.05; done`
        const agent = yield* shell(`[ "$4" = next ] && exit; export DIR; cat >"$DIR/service" <<'EOF'
${service}
EOF
          sh "$DIR/service" >/dev/null 2>&1 & sh "$DIR/service" & setsid sh "$DIR/service" &
          setsid sh "$DIR/service" >/dev/null 2>&1 &
          while [ "$(wc -l <"$DIR/left")" -lt 4 ]; do sleep 0.02; done`)
        const next = run(collect().output, { hostname: "next", classes: [] })
        yield* Effect.andThen(run(collect().output), next).pipe(
          Effect.provide(live(agent, { killGrace: "10 millis" }))
        )
        const left = yield* pids(agent, "left")
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => {
            for (const pid of left) process.kill(pid, "SIGKILL")
          })
        )
        assert.strictEqual(left.filter(lives).length, 4)
        assert.isFalse(fs.existsSync(path.join(path.dirname(agent), "ended")))
      })
    )
  })

  describe("its output", () => {
    it.scopedLive("is the bytes it printed: 30 MB, long lines, no UTF-8", () =>
      Effect.gen(function* () {
        const agent = yield* node(`
          const block = Buffer.alloc(300_000, (index) => index)
          for (let i = 0; i < block.length; i++) block[i] = i % 251 === 10 ? 255 : i % 251
          for (let i = 0; i < 100; i++) { fs.writeSync(1, block); fs.writeSync(2, block.subarray(0, 3000)) }
        `)
        const hashes = { stdout: createHash("sha256"), stderr: createHash("sha256") }
        const lengths = { stdout: 0, stderr: 0 }
        yield* run({
          write: (stream, bytes) => {
            hashes[stream].update(bytes)
            lengths[stream] += bytes.length
            return true
          }
        }).pipe(Effect.provide(live(agent)))
        const block = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i % 251 === 10 ? 255 : i % 251)))
        const expected = { stdout: createHash("sha256"), stderr: createHash("sha256") }
        for (let i = 0; i < 100; i++) {
          expected.stdout.update(block)
          expected.stderr.update(block.subarray(0, 3000))
        }
        assert.deepStrictEqual(lengths, { stdout: 30_000_000, stderr: 300_000 })
        assert.strictEqual(hashes.stdout.digest("hex"), expected.stdout.digest("hex"))
        assert.strictEqual(hashes.stderr.digest("hex"), expected.stderr.digest("hex"))
      })
    )

    it.scopedLive("may be nothing", () =>
      Effect.gen(function* () {
        const agent = yield* shell("exit 0")
        const { output, bytes } = collect()
        yield* run(output).pipe(Effect.provide(live(agent)))
        assert.strictEqual(bytes("stdout").length + bytes("stderr").length, 0)
      })
    )

    it.scopedLive("goes through pipes that others had before, and is its own alone", () =>
      Effect.gen(function* () {
        // Says which pipe it has. The first leaves a process that prints when all others are over.
        const agent = yield* shell(
          `stat -Lc %i /dev/stdout; [ "$4" = first ] && (while [ ! -e "$DIR/go" ]; do sleep 0.02; done; echo late; echo late >"$DIR/late") &`
        )
        const layer = yield* Layer.build(live(agent))
        const printed = (hostname: string) =>
          Effect.gen(function* () {
            const { output, text } = collect()
            yield* run(output, { hostname, classes: [] }).pipe(Effect.provide(layer))
            return text
          })
        const first = yield* printed("first")
        const others = yield* Effect.forEach(Array.from({ length: 8 }, String), printed)
        const pipes = new Set(others.map((text) => text("stdout")))
        assert.isBelow(pipes.size, others.length)
        assert.isFalse(pipes.has(first("stdout")))
        const running = yield* Effect.fork(printed("last"))
        fs.writeFileSync(path.join(path.dirname(agent), "go"), "")
        yield* until(() => fs.existsSync(path.join(path.dirname(agent), "late")))
        const last = yield* Fiber.join(running)
        for (const text of [...others, last]) assert.match(text("stdout"), /^\d+\n$/)
      })
    )

    it.scopedLive("may be written to /dev/stdout and /dev/stderr by name", () =>
      Effect.gen(function* () {
        const agent = yield* shell(
          `echo out >/dev/stdout; echo err >/dev/stderr; echo more >>/proc/self/fd/2`
        )
        const { output, text } = collect()
        const exit = yield* run(output).pipe(Effect.provide(live(agent)))
        assert.strictEqual(exit.code, 0)
        assert.deepStrictEqual([text("stdout"), text("stderr")], ["out\n", "err\nmore\n"])
      })
    )

    it.scopedLive("stops while its reader wants no more, one stream at a time, and none is lost", () =>
      Effect.gen(function* () {
        const agent = yield* shell(`i=0
          while [ $i -lt 3000 ]; do i=$((i+1)); echo "line $i of about forty characters, more or less"; done
          echo done >&2; echo $$ >"$DIR/written"`)
        const { output, text } = collect()
        let held: Option.Option<() => void> = Option.none()
        let calls = 0
        const fiber = yield* run({
          write: (stream, bytes, resume) => {
            if (Option.isSome(held)) calls += stream === "stdout" ? 1 : 0
            output.write(stream, bytes, resume)
            if (stream === "stderr") return true
            held = Option.some(resume)
            return false
          }
        }).pipe(Effect.provide(live(agent)), Effect.fork)
        yield* until(() => Option.isSome(held))
        // More than a pipe holds: the agent can't end before its reader goes on.
        assert.isFalse(fs.existsSync(path.join(path.dirname(agent), "written")))
        assert.strictEqual(calls, 0)
        const goOn = setInterval(() => {
          const resume = Option.getOrUndefined(held)
          held = Option.none()
          resume?.()
        }, 1)
        yield* Fiber.join(fiber).pipe(Effect.ensuring(Effect.sync(() => clearInterval(goOn))))
        const lines = text("stdout").split("\n")
        assert.strictEqual(lines.length, 3001)
        assert.isTrue(lines.slice(0, -1).every((line, index) => line.startsWith(`line ${index + 1} of`)))
        assert.strictEqual(text("stderr"), "done\n")
        assert.strictEqual(calls, 0)
      })
    )

    it.scoped("waits for its reader longer than for descendants that hold it open", () =>
      Effect.gen(function* () {
        const agent = yield* shell(
          `sleep 300 & echo $! >"$DIR/left"; echo $$ >"$DIR/agent"; echo said; echo also >&2`
        )
        // An agent that ends by itself leaves behind what it started.
        yield* Effect.addFinalizer(() =>
          Effect.sync(() =>
            process.kill(Number(fs.readFileSync(path.join(path.dirname(agent), "left"), "utf8")))
          )
        )
        const { output, text } = collect()
        let resume = () => {}
        const fiber = yield* run({
          write: (stream, bytes, goOn) => {
            output.write(stream, bytes, goOn)
            if (stream === "stdout") resume = goOn
            return stream === "stderr"
          }
        }).pipe(Effect.provide(live(agent)), Effect.fork)
        // Processes live in real time, while the time for which they are waited for is the test's.
        const [pid = 0] = yield* TestServices.provideLive(pids(agent, "agent"))
        yield* TestServices.provideLive(until(() => !lives(pid) && text("stdout") === "said\n"))
        yield* TestClock.adjust("1500 millis")
        assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
        resume()
        yield* TestClock.adjust("900 millis")
        assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
        // The news of its end may be late, and the wait begins with that.
        yield* TestServices.provideLive(Effect.sleep("10 millis")).pipe(
          Effect.zipRight(TestClock.adjust("200 millis")),
          Effect.repeat({ until: () => Effect.map(Fiber.poll(fiber), Option.isSome), times: 1000 })
        )
        yield* Fiber.join(fiber)
      })
    )

    it.scopedLive("may be written to by name also where the temporary folder is of no use", () =>
      Effect.gen(function* () {
        const agent = yield* shell("echo err >/dev/stderr")
        yield* environment({ TMPDIR: "/nonexistent" })
        const { output, text } = collect()
        const exit = yield* run(output).pipe(Effect.provide(live(agent)))
        assert.deepStrictEqual([exit.code, text("stderr")], [0, "err\n"])
      })
    )

    it.scopedLive("goes through ordinary pipes where FIFOs can't be made, with one warning", () =>
      Effect.gen(function* () {
        const agent = yield* shell("echo out; echo err >&2")
        const warnings: Array<unknown> = []
        const logger = Logger.replace(
          Logger.defaultLogger,
          Logger.make(({ message }) => void warnings.push(message))
        )
        yield* environment({ PATH: "/nonexistent" })
        const { output, text } = collect()
        yield* Effect.andThen(run(output), run(output)).pipe(
          Effect.provide(Layer.provideMerge(live(agent), logger))
        )
        assert.deepStrictEqual([text("stdout"), text("stderr")], ["out\nout\n", "err\nerr\n"])
        assert.strictEqual(warnings.length, 1)
      })
    )

    it.scopedLive(
      "says why it could not be written to by name, where that may be what an agent failed of",
      () =>
        Effect.gen(function* () {
          const agent = yield* shell("echo err >/dev/stderr || exit 3")
          yield* environment({ PATH: "/nonexistent" })
          const { output, text } = collect()
          const exit = yield* run(output).pipe(Effect.provide(live(agent)))
          assert.strictEqual(exit.code, 3)
          assert.include(
            text("stderr"),
            "rudder-relay: /dev/stdout and /dev/stderr could not be opened by name, since no FIFOs could be made: "
          )
        })
    )
  })

  describe("one that can't be started", () => {
    const reason = (command: string, classes: ReadonlyArray<string> = []) =>
      run(collect().output, { hostname: "node.example.com", classes }).pipe(
        Effect.provide(live(command)),
        Effect.flip,
        Effect.map((error) => {
          assert.strictEqual(error._tag, "AgentError")
          return error.message
        })
      )

    it.scopedLive("says why: no such command", () =>
      Effect.gen(function* () {
        assert.strictEqual(
          yield* reason("/nonexistent/rudder"),
          "/nonexistent/rudder could not be started: no such command"
        )
      })
    )

    it.scopedLive("says why: not executable", () =>
      Effect.gen(function* () {
        const agent = yield* shell("exit 0")
        fs.chmodSync(agent, 0o644)
        assert.include(yield* reason(agent), "not executable")
      })
    )

    it.scopedLive("says why: too many classes for a command line", () =>
      Effect.gen(function* () {
        const agent = yield* shell("exit 0")
        const classes = Array.from({ length: 300_000 }, () => "a_class")
        assert.include(yield* reason(agent, classes), "argument list is too long")
      })
    )

    it.scopedLive("leaves no file open", () =>
      Effect.gen(function* () {
        const agent = yield* shell("exit 0")
        const before = openFiles()
        for (const classes of [[], Array.from({ length: 300_000 }, () => "a_class")])
          yield* reason("/nonexistent/rudder", classes)
        yield* reason(agent, ["a".repeat(3_000_000)])
        yield* until(() => openFiles() <= before)
      })
    )
  })

  describe("interrupted", () => {
    /** Starts the agent, waits for the processes it notes in `file`, interrupts it, and says which of them still live. */
    const leftAfterInterrupt = (agent: string, count: number, killGrace: DurationInput) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.fork(run(collect().output))
        yield* until(() => notes(agent).length >= count)
        const noted = notes(agent)
        assert.isTrue(noted.every(lives))
        const exit = yield* Fiber.interrupt(fiber)
        assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
        return noted.filter(lives)
      }).pipe(Effect.provide(live(agent, { killGrace })))
    const notes = (agent: string) => {
      const file = path.join(path.dirname(agent), "pids")
      return fs.existsSync(file) ? fs.readFileSync(file, "utf8").split("\n").slice(0, -1).map(Number) : []
    }

    it.scopedLive("ends with all its children, at once where they obey", () =>
      Effect.gen(function* () {
        const agent = yield* shell(`echo $$ >>"$DIR/pids"; sleep 300 & echo $! >>"$DIR/pids"; wait`)
        assert.deepStrictEqual(yield* leftAfterInterrupt(agent, 2, "1 hour"), [])
      })
    )

    it.scopedLive("ends those that ignore SIGTERM, after the grace", () =>
      Effect.gen(function* () {
        const agent = yield* shell(`trap '' TERM; echo $$ >>"$DIR/pids"; while :; do sleep 300; done`)
        const started = Date.now()
        assert.deepStrictEqual(yield* leftAfterInterrupt(agent, 1, "300 millis"), [])
        assert.isAtLeast(Date.now() - started, 300)
      })
    )

    it.scopedLive("again, while it is being ended, is ended all the same, in the same time", () =>
      Effect.gen(function* () {
        const agent = yield* shell(
          `trap 'echo $$ >>"$DIR/told"' TERM; echo $$ >>"$DIR/pids"; while [ ! -e "$DIR/go" ]; do sleep 0.05; done; echo last`
        )
        const { output, text } = collect()
        const fiber = yield* run(output).pipe(
          Effect.provide(live(agent, { killGrace: "1 hour" })),
          Effect.fork
        )
        yield* pids(agent, "pids")
        const first = yield* Effect.fork(Fiber.interrupt(fiber))
        yield* pids(agent, "told")
        const second = yield* Effect.fork(Fiber.interrupt(fiber))
        // Both wait for it.
        yield* Effect.yieldNow().pipe(Effect.repeatN(100))
        assert.deepStrictEqual(
          [first.unsafePoll(), second.unsafePoll(), fiber.unsafePoll()],
          [null, null, null]
        )
        fs.writeFileSync(path.join(path.dirname(agent), "go"), "")
        yield* Fiber.joinAll([first, second])
        assert.strictEqual(text("stdout"), "last\n")
        assert.deepStrictEqual(notes(agent).filter(lives), [])
      })
    )

    it.scopedLive("lets those that obey SIGTERM tidy up, and has what they print then", () =>
      Effect.gen(function* () {
        const agent = yield* shell(
          `trap 'echo tidied; exit 0' TERM; echo ready; while :; do sleep 0.05; done`
        )
        const { output, text } = collect()
        const fiber = yield* run(output).pipe(
          Effect.provide(live(agent, { killGrace: "1 hour" })),
          Effect.fork
        )
        yield* until(() => text("stdout") === "ready\n")
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(text("stdout"), "ready\ntidied\n")
      })
    )

    it.scopedLive("ends a child in a session of its own, and one that was forked twice", () =>
      Effect.gen(function* () {
        const agent = yield* node(`
          const note = "echo $$ >>" + dir + "/pids; exec sleep 300"
          const options = { detached: true, stdio: "ignore" }
          spawn("/bin/sh", ["-c", note], options)
          // Its parent, in a third session, ends at once.
          spawn("/bin/sh", ["-c", "{ " + process.execPath + " " + dir + "/daemon.cjs & } ; exit 0"], options)
          fs.writeFileSync(dir + "/daemon.cjs", \`require("node:child_process")
            .spawn("/bin/sh", ["-c", "\${note}"], { detached: true, stdio: "ignore" }).unref()\`)
          ${forever}`)
        assert.deepStrictEqual(yield* leftAfterInterrupt(agent, 2, "1 hour"), [])
      })
    )

    it.scopedLive("ends what is forked while it is being ended", () =>
      Effect.gen(function* () {
        const agent = yield* shell(`trap 'sleep 300 & echo $! >>"$DIR/later"; wait' TERM
          echo $$ >>"$DIR/pids"; while :; do sleep 300 & wait; done`)
        yield* leftAfterInterrupt(agent, 1, "300 millis")
        const later = yield* pids(agent, "later")
        assert.deepStrictEqual(later.filter(lives), [])
      })
    )

    it.scopedLive("ends no other process: not another agent, and not what a reused number stands for", () =>
      Effect.gen(function* () {
        const agent = yield* shell(`echo $$ >>"$DIR/$4"; exec sleep 300`)
        const layer = yield* Layer.build(live(agent))
        const start = (hostname: string) =>
          run(collect().output, { hostname, classes: [] }).pipe(Effect.provide(layer), Effect.fork)
        const one = yield* start("one")
        const other = yield* start("other")
        const [first = 0] = yield* pids(agent, "one")
        const [second = 0] = yield* pids(agent, "other")
        yield* Fiber.interrupt(one)
        assert.deepStrictEqual([lives(first), lives(second)], [false, true])
        yield* Fiber.interrupt(other)
        assert.isFalse(lives(second))
      })
    )

    it.scopedLive("returns though a process that shook off all traces holds its output open", () =>
      Effect.gen(function* () {
        const agent = yield* node(`
          // Its parent is a trace as well, until it is gone: which it may be before the shell looks.
          const alone = "until read -r pid name state parent rest </proc/$$/stat && [ $parent != $0 ]; do sleep 0.01; done"
          const last = alone + "; echo $$ >>" + dir + "/escaped; exec sleep 300"
          const between = "require('node:child_process').spawn('/bin/sh', ['-c', '" + last + "', String(process.pid)], " +
            "{ detached: true, stdio: 'inherit', env: {} }).unref()"
          spawn(process.execPath, ["-e", between], { env: {}, stdio: "inherit" })
          const wait = setInterval(() => {
            if (!fs.existsSync(dir + "/escaped")) return
            clearInterval(wait)
            fs.writeFileSync(dir + "/pids", process.pid + "\\n")
          }, 5)
          ${forever}`)
        yield* Effect.addFinalizer(() =>
          Effect.map(pids(agent, "escaped"), (found) => {
            for (const pid of found) process.kill(pid)
          })
        )
        assert.deepStrictEqual(yield* leftAfterInterrupt(agent, 1, "1 hour"), [])
        assert.isTrue((yield* pids(agent, "escaped")).every(lives))
      })
    )

    it.scopedLive("before it was started, is never started", () =>
      Effect.gen(function* () {
        const agent = yield* shell(`echo $$ >>"$DIR/pids"`)
        const layer = yield* Layer.build(live(agent))
        for (let i = 0; i < 20; i++) {
          const fiber = yield* Effect.fork(run(collect().output).pipe(Effect.provide(layer)))
          yield* Fiber.interrupt(fiber)
        }
        assert.deepStrictEqual(notes(agent), [])
      })
    )

    it.scopedLive("ends with the Layer, where nobody has interrupted it, and so do its children", () =>
      Effect.gen(function* () {
        const agent = yield* shell(
          `sh -c "trap '' TERM; echo \\$\\$ >>$DIR/pids; while :; do sleep 300; done" & echo $$ >>"$DIR/pids"; wait`
        )
        const scope = yield* Scope.make()
        const layer = yield* Layer.buildWithScope(live(agent, { killGrace: "200 millis" }), scope)
        const warnings: Array<unknown> = []
        const logger = Logger.make(({ message }) => void warnings.push(message))
        const { output } = collect()
        const fiber = yield* run(output).pipe(Effect.provide(layer), Effect.fork)
        yield* until(() => notes(agent).length >= 2)
        yield* Scope.close(scope, Exit.void).pipe(
          Effect.provide(Logger.replace(Logger.defaultLogger, logger))
        )
        assert.deepStrictEqual(notes(agent).filter(lives), [])
        assert.deepStrictEqual(warnings, [])
        yield* Fiber.join(fiber)
      })
    )

    it.scopedLive("leaves nothing unkillable", () =>
      Effect.gen(function* () {
        const agent = yield* shell(`trap '' TERM; echo $$ >>"$DIR/pids"; while :; do sleep 300; done`)
        const layer = yield* Layer.build(live(agent, { killGrace: "50 millis" }))
        const fiber = yield* run(collect().output).pipe(Effect.provide(layer), Effect.fork)
        yield* until(() => notes(agent).length > 0)
        yield* Fiber.interrupt(fiber)
        const { unkillable } = yield* AgentProcess.pipe(Effect.provide(layer))
        assert.strictEqual(yield* unkillable, 0)
      })
    )
  })

  it.scopedLive("leaves no file open, and no folder", () =>
    Effect.gen(function* () {
      const agent = yield* shell(
        `case $4 in hang) echo $$ >>"$DIR/hanging"; exec sleep 300;; esac; echo out; echo err >&2`
      )
      const temporary = yield* folder
      const atFirst = openFiles()
      const environment = process.env.TMPDIR
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          process.env.TMPDIR = temporary
        }),
        () =>
          Effect.sync(() => {
            if (environment === undefined) delete process.env.TMPDIR
            else process.env.TMPDIR = environment
          })
      )
      const scope = yield* Scope.make()
      const layer = yield* Layer.buildWithScope(live(agent), scope)
      const hanging = path.join(path.dirname(agent), "hanging")
      const many = Effect.gen(function* () {
        yield* Effect.replicateEffect(run(collect().output), 150, { concurrency: 10 })
        const fiber = yield* Effect.fork(
          Effect.replicateEffect(run(collect().output, { hostname: "hang", classes: [] }), 10, {
            concurrency: 10
          })
        )
        yield* until(() => fs.existsSync(hanging) && fs.readFileSync(hanging, "utf8").split("\n").length > 10)
        yield* Fiber.interrupt(fiber)
        fs.rmSync(hanging)
      }).pipe(Effect.provide(layer))
      yield* run(collect().output).pipe(Effect.provide(layer))
      const before = openFiles()
      yield* many
      yield* until(() => openFiles() <= before)
      assert.strictEqual(fs.readdirSync(temporary).length, 1)
      // As a program would that tidies up /tmp.
      for (const name of fs.readdirSync(temporary)) fs.rmSync(path.join(temporary, name), { recursive: true })
      const { output, text } = collect()
      yield* run(output).pipe(Effect.provide(layer))
      assert.strictEqual(text("stderr"), "err\n")
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(fs.readdirSync(temporary), [])
      yield* until(() => openFiles() <= atFirst)
    })
  )
})
