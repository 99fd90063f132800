/** Signals at every moment of a daemon's life, and a log that nobody reads any more. */
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { cleanUp, curl, main, nodes, type Options, prepare, processesWith, start } from "./support/Program.ts"

const hold = new URL("./support/startHold.mjs", import.meta.url).href

const children = new Set<ChildProcess>()
const folders: Array<string> = []

afterEach(async () => {
  for (const child of children)
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL")
  children.clear()
  await cleanUp()
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

interface Held {
  readonly child: ChildProcess
  readonly log: () => string
  /** `exited with CODE`, or `killed by SIGNAL`. */
  readonly ended: Promise<string>
  readonly directory: string
  readonly letGo: () => void
}

const endOf = (child: ChildProcess): Promise<string> =>
  new Promise((resolve) =>
    child.once("exit", (code, signal) =>
      resolve(signal === null ? `exited with ${code}` : `killed by ${signal}`)
    )
  )

/** A daemon whose start stands still at a moment. */
const heldAt = async (moment: "configuration" | "listen", options: Options = {}): Promise<Held> => {
  const directory = prepare(options)
  folders.push(directory)
  const file = join(directory, "hold")
  const child = spawn(process.execPath, [main, "serve", "--config", directory], {
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      ...process.env,
      NODE_OPTIONS: `--import ${hold}`,
      RELAY_TEST_MOMENT: moment,
      RELAY_TEST_FILE: file
    }
  })
  children.add(child)
  let log = ""
  child.stderr?.on("data", (bytes) => {
    log += bytes
  })
  const ended = endOf(child)
  await until("the start is held", () => existsSync(`${file}.held`))
  return { child, log: () => log, ended, directory, letGo: () => writeFileSync(`${file}.go`, "") }
}

const signalsCaught = (pid: number | undefined): bigint =>
  BigInt(`0x${/SigCgt:\s+(\w+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0"}`)

describe.each(["configuration", "listen"] as const)("a start, at the moment of %s", (moment) => {
  it("lives through SIGHUP, and loads again when it is ready", async () => {
    const held = await heldAt(moment, { nodes: nodes(1) })
    for (let i = 0; i < 5; i++) held.child.kill("SIGHUP")
    held.letGo()
    const state = await Promise.race([
      held.ended,
      until("reloaded", () => held.log().includes("configuration reloaded")).then(() => "reloaded")
    ])
    expect(state, held.log()).toBe("reloaded")
    held.child.kill("SIGTERM")
    expect(await held.ended).toBe("exited with 0")
  })

  it.each(["SIGTERM", "SIGINT"] as const)("ends with 0 by %s, and leaves nothing", async (signal) => {
    const held = await heldAt(moment, { nodes: nodes(1) })
    held.child.kill(signal)
    // What is held is not let go: the start is given up where it stands.
    expect(await held.ended).toBe("exited with 0")
    expect(await processesWith(held.directory)).toEqual([])
  })
})

it("ends with 0 by a SIGTERM as soon as the program can hear one, before anything is loaded", async () => {
  const directory = prepare()
  folders.push(directory)
  const child = spawn(process.execPath, [main, "serve", "--config", directory], { stdio: "ignore" })
  children.add(child)
  const ended = endOf(child)
  const hangup = 1n
  await until("SIGHUP is caught", () => (signalsCaught(child.pid) & hangup) !== 0n)
  child.kill("SIGHUP")
  child.kill("SIGTERM")
  expect(await ended).toBe("exited with 0")
})

describe("a stop", () => {
  const waiting = 'cd "$(dirname "$0")"; echo begun; while [ ! -e go ]; do sleep 0.02; done; echo ended'

  it("is not cut short by SIGHUP, which is told in the log", async () => {
    const relay = await start({ nodes: nodes(1), agent: waiting })
    const answer = curl(`${relay.url}/remote-run/all?output=keep&async=yes`)
    await until("the agent runs", async () =>
      (await curl(`${relay.url}/remote-run/runs`)).body.includes('"running":1')
    )
    relay.kill("SIGTERM")
    await until("it stops", () => relay.log().includes("message=stopping"))
    for (let i = 0; i < 5; i++) {
      relay.kill("SIGHUP")
      await until("told", () => relay.log().split("SIGHUP is ignored").length > i + 1)
    }
    writeFileSync(join(relay.directory, "go"), "")
    expect((await answer).body).toMatch(/n0:ended\n.*"event":"done"/s)
    expect(await relay.exited).toBe(0)
  })

  it.each(["SIGTERM", "SIGINT"] as const)(
    "begun by %s is not cut short by SIGTERM, which is told in the log",
    async (first) => {
      const relay = await start({ nodes: nodes(1), agent: waiting })
      const answer = curl(`${relay.url}/remote-run/all?output=keep&async=yes`)
      await until("the agent runs", async () =>
        (await curl(`${relay.url}/remote-run/runs`)).body.includes('"running":1')
      )
      relay.kill(first)
      // At once, and later.
      relay.kill("SIGTERM")
      await until("it stops", () => relay.log().includes("message=stopping"))
      for (let i = 0; i < 3; i++) {
        relay.kill("SIGTERM")
        await until("told", () => relay.log().split("SIGTERM is ignored").length > i + 1)
      }
      writeFileSync(join(relay.directory, "go"), "")
      expect((await answer).body).toMatch(/n0:ended\n.*"event":"done"/s)
      expect(await relay.exited).toBe(0)
    }
  )

  it("ends at once by another SIGINT, as a second Ctrl-C is, and leaves no agent", async () => {
    const relay = await start({
      nodes: nodes(1),
      agent: `trap '' TERM; sh -c 'while :; do sleep 0.1; done' ${"$"}0.child`,
      config: { remote_run: { kill_grace: "100ms" } }
    })
    await curl("-d", "async=yes", `${relay.url}/remote-run/all`)
    const agents = () => processesWith(`${relay.directory}/agent`)
    await until("the agent and its child run", async () => (await agents()).length >= 2)
    relay.kill("SIGINT")
    await until("it stops", () => relay.log().includes("message=stopping"))
    expect((await agents()).length).toBeGreaterThanOrEqual(2)
    relay.kill("SIGINT")
    // By the signal, and far from the 30 s of the grace.
    expect(await relay.exited).toBeNull()
    await until("no agent is left", async () => (await agents()).length === 0)
  })

  it("takes the request that waits to be accepted, and closes a connection that says nothing", async () => {
    const relay = await start({ nodes: nodes(1) })
    // While the daemon stands still, the kernel takes the connections; then the daemon finds them and the signal at once.
    relay.kill("SIGSTOP")
    const opened = (): Promise<Socket> =>
      new Promise((resolve) => {
        const socket = connect(relay.port, "127.0.0.1", () => resolve(socket))
      })
    const silent = await opened()
    const closed = new Promise((resolve) => silent.once("close", resolve).once("error", resolve))
    silent.resume()
    const asking = await opened()
    let answer = ""
    const over = new Promise((resolve) => asking.once("close", resolve).once("error", resolve))
    asking.on("data", (bytes) => {
      answer += bytes
    })
    const request = "GET /rudder/relay-api/system/info HTTP/1.1\r\nHost: localhost\r\n\r\n"
    await new Promise((resolve) => asking.write(request, resolve))
    relay.kill("SIGTERM")
    relay.kill("SIGCONT")
    await over
    expect(answer).toContain("HTTP/1.1 200 OK")
    expect(answer.toLowerCase()).toContain("\r\nconnection: close\r\n")
    await closed
    expect(await relay.exited).toBe(0)
  })
})

it("opens no debugger by SIGUSR1, and goes on", async () => {
  const relay = await start({ nodes: nodes(1) })
  // It answers in between: node opens its debugger in a thread beside.
  for (let i = 1; i <= 5; i++) {
    relay.kill("SIGUSR1")
    relay.kill("SIGHUP")
    await until("reloaded", () => relay.log().split("configuration reloaded").length > i)
    expect((await curl(`${relay.url}/system/info`)).status).toBe(200)
  }
  expect(relay.log()).not.toContain("Debugger")
  expect(await relay.stop()).toBe(0)
})

it("answers a request that comes in the moment in which it listens", async () => {
  const directory = prepare({ nodes: nodes(1) })
  const file = join(directory, "answer")
  await start({
    directory,
    prefix: ["env", `NODE_OPTIONS=--import ${hold}`, "RELAY_TEST_MOMENT=listening", `RELAY_TEST_FILE=${file}`]
  })
  await until("it is answered", () => existsSync(file), 10)
  expect(readFileSync(file, "utf8")).toContain("HTTP/1.1 200 OK")
})

describe("output whose reader went away", () => {
  /** A daemon that says all that it does, and how to be its reader. */
  const talkative = async () => {
    const directory = prepare({ nodes: nodes(1), config: { log: { level: "debug" } } })
    folders.push(directory)
    const child = spawn(process.execPath, [main, "serve", "--config", directory], {
      stdio: ["ignore", "pipe", "pipe"]
    })
    children.add(child)
    const ended = endOf(child)
    let log = ""
    child.stderr?.on("data", (bytes) => {
      log += bytes
    })
    const port = await until("listening", () => /message=listening .*address=\S+:(\d+)/.exec(log)?.[1])
    return { child, ended, log: () => log, url: `http://127.0.0.1:${port}/rudder/relay-api` }
  }

  it("does not end a daemon that has more to say", async () => {
    const { child, ended, url } = await talkative()
    child.stderr?.destroy()
    child.stdout?.destroy()
    for (let i = 0; i < 3; i++) {
      child.kill("SIGHUP")
      expect((await curl(`${url}/remote-run/all?output=keep`)).body).toContain("n0:hello")
      expect((await curl("-X", "POST", `${url}/system/reload`)).status).toBe(200)
    }
    child.kill("SIGTERM")
    expect(await ended).toBe("exited with 0")
  })

  it("does not stop a daemon whose reader only stands still, nor its end", async () => {
    const { child, ended, log, url } = await talkative()
    // What starts agents is there by then.
    expect((await curl(`${url}/remote-run/all?output=keep`)).body).toContain("n0:hello")
    child.stderr?.pause()
    // A line each, of some 200 bytes: more than the system keeps for a reader, and than the relay does.
    for (let sent = 0; sent < 8000; sent += 50)
      await Promise.all(
        Array.from({ length: 50 }, async () => {
          const answer = await fetch(`${url}/system/info`)
          await answer.text()
        })
      )
    expect((await curl(`${url}/system/info`)).status).toBe(200)
    child.stderr?.resume()
    await until("the log goes on", async () => {
      await curl(`${url}/system/info`)
      return log().includes("omitted_lines=")
    })
    child.stderr?.pause()
    child.kill("SIGTERM")
    expect(await ended).toBe("exited with 0")
  })

  it("does not end a sandbox, nor does it show a stack", async () => {
    const directory = mkdtempSync(join(tmpdir(), "rudder-relay-e2e-"))
    folders.push(directory)
    const child = spawn(process.execPath, [main, "sandbox", "--directory", directory], {
      stdio: ["ignore", "pipe", "pipe"]
    })
    children.add(child)
    const ended = endOf(child)
    let shown = ""
    let log = ""
    child.stderr?.on("data", (bytes) => {
      log += bytes
    })
    child.stdout?.on("data", (bytes) => {
      shown += bytes
    })
    const url = await until("it is introduced", () => /at (http:\S+)/.exec(shown)?.[1])
    child.stdout?.destroy()
    await until("its run is over", async () =>
      (await curl(`${url}/remote-run/runs`)).body.includes('"running":0')
    )
    child.kill("SIGTERM")
    expect(await ended, log).toBe("exited with 0")
    expect(log).not.toContain("EPIPE")
  })
})
