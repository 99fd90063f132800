/** What starts agents, each of its two programs, spoken with as the relay does. */
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, TestClock } from "effect"
import * as Fifo from "../../../src/remote-run/agents/Fifo.ts"
import guard from "../../../src/remote-run/agents/guard.mjs?raw"
import * as Marks from "../../../src/remote-run/agents/Marks.ts"
import { starters } from "../../../src/remote-run/agents/Spawner.ts"
import { Connection, inNode, type Starter } from "../../../src/remote-run/agents/SpawnerConnection.ts"
import * as Protocol from "../../../src/remote-run/agents/SpawnerProtocol.ts"
import { folder, lives, pids, shell, until } from "../../support/LocalScripts.ts"
import { holds } from "../../support/Until.ts"

const setup = (killGraceMillis: number): Buffer =>
  Protocol.setup({
    node: process.execPath,
    killGraceMillis,
    guard,
    environment: { PATH: process.env.PATH ?? "", PERL5LIB: "/nonexistent", WITH_EQUALS: "a=b=" }
  })

/** The guards that a starter has begun, by what it has given them. */
const guardsOf = (starter = 0): ReadonlyArray<number> =>
  fs
    .readFileSync(`/proc/${starter}/task/${starter}/children`, "utf8")
    .split(" ")
    .filter((pid) => pid !== "")
    .map(Number)
    .filter((pid) => {
      try {
        return fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("--input-type=module")
      } catch {
        return false
      }
    })

/** A starter that runs until the scope ends. */
const begin = (starter: Starter, killGraceMillis = 5000) =>
  Effect.gen(function* () {
    const fifos = yield* folder
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(starter.command, starter.parameters, { env: {}, stdio: ["pipe", "pipe", "inherit"], cwd: "/" })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const answers = new Protocol.Answers()
    const heard: Array<Protocol.Answer> = []
    child.stdout.setEncoding("latin1").on("data", (text: string) => heard.push(...answers.push(text)))
    child.stdin.on("error", () => {}).write(setup(killGraceMillis))
    const opened: Array<number> = []
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const fd of opened) fs.closeSync(fd)
      })
    )
    let count = 0
    const pair = () => {
      const files = ["out", "err"].map((name) => path.join(fifos, `${++count}.${name}`))
      execFileSync("mkfifo", files)
      return files
    }
    return {
      child,
      heard,
      say: (message: Buffer) => void child.stdin.write(message),
      /** Orders an agent, and gives its id, and what it prints. */
      start: (program: string, parameters: ReadonlyArray<string> = [], mark?: number) => {
        const [stdout = "", stderr = ""] = pair()
        const out = Fifo.open(stdout)
        opened.push(out, Fifo.open(stderr))
        const id = count
        child.stdin.write(
          Protocol.start(id, { program, parameters, cookie: `cookie.${id}`, mark, stdout, stderr })
        )
        return { id, printed: () => fs.readFileSync(out, "utf8"), out }
      },
      /** Orders one whose stderr nobody reads. */
      startUnread: (program: string) => {
        const [stdout = "", stderr = ""] = pair()
        const out = Fifo.open(stdout)
        opened.push(out)
        const order = { program, parameters: [], cookie: "", mark: undefined, stdout, stderr }
        child.stdin.write(Protocol.start(count, order))
        return { id: count, out }
      }
    }
  })

/** Waits for what was said last of an agent. */
const endOf = (heard: ReadonlyArray<Protocol.Answer>, id: number) => {
  const isEnd = (answer: Protocol.Answer) =>
    answer.id === id && (answer._tag === "Ended" || answer._tag === "Failed")
  return Effect.map(
    until(() => heard.some(isEnd)),
    () => heard.find(isEnd)
  )
}

const exitOf = (answer: Protocol.Answer | undefined) =>
  answer?._tag === "Ended" ? answer.exit : answer?._tag === "Failed" ? answer.failure.code : undefined

const nameOf = (starter: Starter) => (starter === inNode ? "node" : "perl")

describe.each(starters().map((starter) => [nameOf(starter), starter] as const))(
  "what starts agents, in %s,",
  (_, starter) => {
    it.scopedLive("says how each ended: by itself, by a signal, or as one that looks like it", () =>
      Effect.gen(function* () {
        const agent = yield* shell(`case $1 in kill) kill -9 $$;; *) exit $1;; esac`)
        const { heard, start } = yield* begin(starter)
        const cases = ["0", "7", "127", "137", "255", "kill"].map((how) => start(agent, [how]))
        const ends = yield* Effect.forEach(cases, ({ id }) => Effect.map(endOf(heard, id), exitOf))
        assert.deepStrictEqual(ends, [
          ...[0, 7, 127, 137, 255].map((code) => ({ code, signal: null })),
          { code: null, signal: "SIGKILL" }
        ])
      })
    )

    it.scopedLive(
      "gives it a session, the folder /, an empty stdin, the environment, its cookie and no more",
      () =>
        Effect.gen(function* () {
          const agent = yield* shell(
            `read -r line || echo empty; pwd; [ "$(ps -o sid= -p $$ | tr -d ' ')" = $$ ] && echo leads; env | sort | grep -v "^PWD\\|^_=\\|^SHLVL\\|^OLDPWD\\|^PATH"; echo "$@"; exec ls /proc/self/fd`
          )
          const { heard, start } = yield* begin(starter)
          const { id, printed } = start(agent, ["a b", "", "ü"])
          assert.deepStrictEqual(exitOf(yield* endOf(heard, id)), { code: 0, signal: null })
          // What the test runner itself was given is handed on, too, and has large numbers.
          const lines = printed()
            .split("\n")
            .filter((line) => !/^[1-9]\d\d$/.test(line))
          assert.deepStrictEqual(lines, [
            ...["empty", "/", "leads", `LC_RUDDER_RELAY_AGENT=cookie.${id}`],
            ...["PERL5LIB=/nonexistent", "WITH_EQUALS=a=b=", "a b  ü"],
            // The last one is the folder that it lists.
            ...["0", "1", "2", "3", ""]
          ])
        })
    )

    it.scopedLive(
      "leaves signals as they are by default: an agent can be interrupted, and breaks with its pipe",
      () =>
        Effect.gen(function* () {
          const agent = yield* shell(`grep -E "^Sig(Blk|Ign)" /proc/self/status`)
          const { heard, start } = yield* begin(starter)
          const { id, printed } = start(agent)
          yield* endOf(heard, id)
          assert.match(printed(), /^SigBlk:\t0+\nSigIgn:\t0+\n$/)
        })
    )

    it.scopedLive("gives it pipes that it waits for while they are full", () =>
      Effect.gen(function* () {
        const agent = yield* shell("head -c 200000 /dev/zero")
        const { heard, start } = yield* begin(starter)
        const { id, out } = start(agent)
        yield* until(() => heard.some((answer) => answer.id === id))
        let length = 0
        const read = Effect.sync(() => {
          try {
            length += fs.readSync(out, Buffer.alloc(100))
          } catch {
            // Nothing is there yet.
          }
          return heard.some((answer) => answer.id === id && answer._tag === "Ended")
        })
        yield* holds("it is read", read)
        assert.deepStrictEqual(exitOf(yield* endOf(heard, id)), { code: 0, signal: null })
        assert.strictEqual(length + Buffer.byteLength(fs.readFileSync(out)), 200_000)
      })
    )

    it.scopedLive("gives it its mark, and others none", () =>
      Effect.gen(function* () {
        const marks = Marks.make()
        const mark = marks?.take()
        if (mark === undefined) return
        const agent = yield* shell("cat /proc/self/coredump_filter")
        const { heard, start } = yield* begin(starter)
        const agents = [start(agent, [], mark), start(agent)]
        for (const { id } of agents) yield* endOf(heard, id)
        const [marked, other] = agents.map(({ printed }) => Number.parseInt(printed(), 16))
        assert.strictEqual(marked, mark)
        assert.notStrictEqual(other, mark)
      })
    )

    it.scopedLive("says why it could not be started", () =>
      Effect.gen(function* () {
        const agent = yield* shell("exit 0")
        const { heard, start, startUnread } = yield* begin(starter)
        const plain = yield* shell("exit 0")
        fs.chmodSync(plain, 0o644)
        const missing = start("/nonexistent/agent")
        const executable = start(plain)
        const long = start(agent, ["a".repeat(3_000_000)])
        const unread = startUnread(agent)
        const next = start(agent)
        assert.strictEqual(exitOf(yield* endOf(heard, missing.id)), "ENOENT")
        assert.strictEqual(exitOf(yield* endOf(heard, executable.id)), "EACCES")
        assert.strictEqual(exitOf(yield* endOf(heard, long.id)), "E2BIG")
        assert.strictEqual(exitOf(yield* endOf(heard, unread.id)), "ENXIO")
        assert.deepStrictEqual(exitOf(yield* endOf(heard, next.id)), { code: 0, signal: null })
        // Where the other end is open still, this fails: there may be more to come.
        for (const { out } of [missing, unread, next])
          assert.strictEqual(fs.readSync(out, Buffer.alloc(1)), 0)
      })
    )

    it.scopedLive("starts as many as are ordered at once, and tells each from the others", () =>
      Effect.gen(function* () {
        const agent = yield* shell(
          `echo $LC_RUDDER_RELAY_AGENT $#; ls /proc/self/fd | grep -c '^.$'; exit $1`
        )
        const { heard, start } = yield* begin(starter)
        const agents = Array.from({ length: 20 }, (_, at) => start(agent, [String(at), "", "x\ny", ""]))
        for (const [at, { id, printed }] of agents.entries()) {
          assert.deepStrictEqual(exitOf(yield* endOf(heard, id)), { code: at, signal: null })
          assert.strictEqual(printed(), `cookie.${id} 4\n4\n`)
        }
      })
    )

    it.scopedLive("is not ended by signals that are the relay's to answer", () =>
      Effect.gen(function* () {
        const agent = yield* shell("exit 3")
        const { child, heard, start } = yield* begin(starter)
        yield* endOf(heard, start(agent).id)
        for (const signal of [
          "SIGINT",
          "SIGTERM",
          "SIGHUP",
          "SIGQUIT",
          "SIGUSR1",
          "SIGUSR2",
          "SIGALRM"
        ] as const)
          child.kill(signal)
        assert.deepStrictEqual(exitOf(yield* endOf(heard, start(agent).id)), { code: 3, signal: null })
      })
    )

    it.scopedLive("says that it is there, when asked, and when it is set up", () =>
      Effect.gen(function* () {
        const { heard, say } = yield* begin(starter)
        say(Protocol.ping(7))
        yield* until(() => heard.length === 2)
        assert.deepStrictEqual(heard, [
          { _tag: "Here", id: 0 },
          { _tag: "Here", id: 7 }
        ])
      })
    )

    it.scopedLive("ends with the relay where nothing runs", () =>
      Effect.gen(function* () {
        const { child, heard } = yield* begin(starter)
        yield* until(() => heard.length > 0)
        child.stdin.end()
        yield* until(() => child.exitCode !== null)
      })
    )

    it.scopedLive("ends all that runs when the relay is gone, those that it guards too, and no other", () =>
      Effect.gen(function* () {
        const agent = yield* shell(`[ "$1" = deaf ] && trap '' TERM; echo $$ >>"$DIR/pids"
        setsid sleep 300 & echo $! >>"$DIR/pids"; while :; do sleep 300; done`)
        const left = yield* shell(`setsid sleep 300 >/dev/null 2>&1 </dev/null & echo $! >"$DIR/left"`)
        const guarded = yield* Effect.acquireRelease(
          Effect.sync(() => [1, 2].map(() => spawn("sleep", ["300"], { detached: true, stdio: "ignore" }))),
          (guarded) =>
            Effect.sync(() => {
              for (const one of guarded) one.kill("SIGKILL")
            })
        )
        const { child, heard, say, start } = yield* begin(starter, 300)
        for (const { pid = 0 } of guarded) say(Protocol.guard(pid, "another"))
        say(Protocol.release(guarded[1]?.pid ?? 0))
        yield* endOf(heard, start(left).id)
        start(agent, ["obeys"])
        start(agent, ["deaf"])
        const file = path.join(path.dirname(agent), "pids")
        yield* until(() => fs.existsSync(file) && fs.readFileSync(file, "utf8").split("\n").length === 5)
        const running = yield* pids(agent, "pids")
        child.stdin.destroy()
        yield* until(() => child.exitCode !== null)
        yield* until(() => running.every((pid) => !lives(pid)))
        yield* until(() => guarded[0]?.signalCode === "SIGTERM")
        assert.isNull(guarded[1]?.signalCode)
        const [other = 0] = yield* pids(left, "left")
        assert.isTrue(lives(other))
        process.kill(other)
      })
    )

    it.scopedLive("ends all that runs, whatever ends its guard before that one is done", () =>
      Effect.gen(function* () {
        const agent = yield* shell(`trap '' TERM; echo $$ >"$DIR/pids"; while :; do sleep 300; done`)
        const { child, start } = yield* begin(starter, 300)
        start(agent)
        const file = path.join(path.dirname(agent), "pids")
        yield* until(() => fs.existsSync(file) && fs.readFileSync(file, "utf8").endsWith("\n"))
        const running = yield* pids(agent, "pids")
        child.stdin.destroy()
        // Before node is up, any signal that may be sent to all that are called so ends it too.
        const killed = new Set<number>()
        for (let round = 0; round < 3; round++) {
          const next = () => guardsOf(child.pid).find((pid) => !killed.has(pid))
          yield* until(() => next() !== undefined)
          const pid = next() ?? 0
          killed.add(pid)
          process.kill(pid, "SIGKILL")
          child.kill("SIGTERM")
        }
        yield* until(() => child.exitCode !== null)
        assert.strictEqual(child.exitCode, 0)
        yield* until(() => running.every((pid) => !lives(pid)))
      })
    )
  }
)

describe("the connection to what starts agents", () => {
  it.scoped("is given up after two seconds where a process that was left has its pipes still", () =>
    Effect.gen(function* () {
      const starter = yield* shell(
        `setsid sh -c "echo \\$\\$ >>$DIR/left; exec sleep 300" & exec cat >/dev/null`
      )
      const connection = new Connection({ command: starter, parameters: [] }, Duration.seconds(1))
      const [left = 0] = yield* pids(starter, "left")
      yield* Effect.addFinalizer(() => Effect.sync(() => process.kill(left)))
      // As finalizers are run.
      const closing = yield* Effect.fork(Effect.uninterruptible(connection.close))
      yield* TestClock.adjust("1999 millis")
      assert.isNull(closing.unsafePoll())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(closing)
    })
  )
})
