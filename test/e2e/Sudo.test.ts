/** The relay as it is deployed: a user of its own, and sudo for the one command. Needs root, to make that user. */
import { randomInt } from "node:crypto"
import { chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import {
  cleanUp,
  command,
  curl,
  events,
  main,
  nodes,
  prepare,
  processesWith,
  type Relay,
  start
} from "./support/Program.ts"
import { unitUser } from "./support/UnitUser.ts"

const unit = unitUser()
const { name: user, sudoers, unprivileged, withKill } = unit

afterEach(async () => {
  for (const relay of relays.splice(0)) await relay.stop()
  await cleanUp()
  for (const seconds of marks.splice(0)) for (const pid of await left(seconds)) process.kill(pid, "SIGKILL")
})

/** What sudo may do for the user, for whom, with more defaults where they are given. */
const allow = (agent: string, as: string, defaults = "") =>
  writeFileSync(sudoers, `${user} ALL=(${as}) NOPASSWD: ${agent}\n${defaults}`, { mode: 0o440 })

interface Deployed {
  readonly agent: string
  readonly prefix?: ReadonlyArray<string>
  readonly as?: string
  /** More of sudoers; the folder goes after the test. */
  readonly defaults?: (folder: string) => string
  readonly count?: number
  readonly config?: Record<string, string | number>
}

const relays: Array<Relay> = []

const deploy = async ({ agent, prefix = withKill, as = "root", defaults, count = 1, config }: Deployed) => {
  const directory = mkdtempSync(join(tmpdir(), "rudder-relay-e2e-"))
  chownSync(directory, unit.uid, unit.uid)
  allow(join(directory, "agent"), as, defaults?.(directory))
  const relay = await start({
    directory,
    agent,
    prefix,
    nodes: nodes(count),
    config: {
      general: { shutdown_grace: "1s" },
      remote_run: { use_sudo: true, kill_grace: "300ms", ...config }
    }
  })
  relays.push(relay)
  return relay
}

/** A number of seconds that no other process sleeps for: the mark of this test's processes. */
const mark = () => {
  const seconds = `${100_000 + randomInt(1_000_000_000)}`
  marks.push(seconds)
  return seconds
}
const marks: Array<string> = []

/** An agent with children of every kind: deaf to SIGTERM, in a session of its own, forked twice, without output. */
const family = (seconds: string) => `
(trap '' TERM; sleep ${seconds}; sleep ${seconds}) &
setsid sh -c 'sleep ${seconds}; :' &
(setsid sh -c '(sleep ${seconds} &) ; sleep ${seconds}; :' > /dev/null 2>&1 &)
echo started
`
/** Processes of `family`, with the one that goes on after it. */
const size = 5
const left = (seconds: string) => processesWith(`^sleep ${seconds}`)

const end = (body: string) => events(body).find(({ event }) => event === "end")
const unkillable = async (url: string) =>
  JSON.parse((await curl(`${url}/system/status`)).body).data.runs.unkillable

describe("an agent under sudo", () => {
  it("runs as root, in the order given, and may open its output by name", async () => {
    const { url } = await deploy({
      agent: `id -u; echo "$host $classes"; cat; echo named >/dev/stderr; exit 3`
    })
    const { body } = await curl(`${url}/remote-run/node/n0?output=keep&classes=a,b`)
    expect(body).toContain("n0:0\nn0:n0.example.com a,b\n")
    expect(end(body)).toMatchObject({ code: 3, stderr: "named\n" })
  })

  it("may be another user's, and open its output by name", async () => {
    const { url } = await deploy({
      agent: `id -un; echo named >/dev/stderr`,
      as: "nobody",
      defaults: () => `Defaults:${user} runas_default=nobody\n`
    })
    const { body } = await curl(`${url}/remote-run/node/n0?output=keep`)
    expect(body).toContain("n0:nobody\n")
    expect(end(body)).toMatchObject({ code: 0, stderr: "named\n" })
  })

  it("is refused by sudo: the node's end says so", async () => {
    const { url } = await deploy({ agent: "echo hello", as: "nobody" })
    const { body } = await curl(`${url}/remote-run/node/n0?output=keep`)
    expect(end(body)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("sudo: a password is required")
    })
  })
})

describe.each([
  ["as Debian sets it up", () => ""],
  // It needs one to record the output.
  [
    "with a terminal of its own",
    (folder: string) => `Defaults:${user} use_pty, log_output, iolog_dir=${folder}/io\n`
  ]
])("no process of an agent is left, under sudo %s and with CAP_KILL,", (_name, defaults) => {
  it("after a time-out", async () => {
    const seconds = mark()
    const { url } = await deploy({
      agent: `${family(seconds)} sleep ${seconds}`,
      defaults,
      config: { timeout: "1s" }
    })
    const { body } = await curl(`${url}/remote-run/node/n0?output=keep`)
    expect(end(body)).toMatchObject({ code: null, timeout: true })
    expect(await left(seconds)).toEqual([])
    expect(await unkillable(url)).toBe(0)
  })

  it("after a cancel", async () => {
    const seconds = mark()
    const { url } = await deploy({ agent: `${family(seconds)} sleep ${seconds}`, defaults, count: 3 })
    const { body } = await curl("-d", "async=yes", `${url}/remote-run/all`)
    const { id } = JSON.parse(body)
    await until("all run", async () => (await left(seconds)).length === 3 * size)
    await curl("-X", "DELETE", `${url}/remote-run/runs/${id}`)
    const replay = await curl(`${url}/remote-run/runs/${id}/output`)
    expect(events(replay.body).filter(({ cancelled }) => cancelled === true).length).toBe(3)
    expect(await left(seconds)).toEqual([])
  })

  it("after the relay was killed", async () => {
    const seconds = mark()
    const relay = await deploy({ agent: `${family(seconds)} sleep ${seconds}`, defaults, count: 2 })
    await curl("-d", "async=yes", `${relay.url}/remote-run/all`)
    await until("both run", async () => (await left(seconds)).length === 2 * size)
    relay.kill("SIGKILL")
    await until("nothing is left", async () => (await left(seconds)).length === 0)
  })

  it("after a shutdown", async () => {
    const seconds = mark()
    const relay = await deploy({ agent: `${family(seconds)} sleep ${seconds}`, defaults, count: 2 })
    await curl("-d", "async=yes", `${relay.url}/remote-run/all`)
    await until("both run", async () => (await left(seconds)).length === 2 * size)
    expect(await relay.stop()).toBe(0)
    expect(await left(seconds)).toEqual([])
  })
})

describe("what an agent under sudo leaves behind when it ends by itself", () => {
  it("goes on, though later agents are ended", async () => {
    const seconds = mark()
    const { url } = await deploy({
      agent: `case $host in n0*) setsid sleep ${seconds} & sleep ${seconds} >/dev/null 2>&1 & ;; *) sleep ${seconds} ;; esac`,
      count: 2,
      config: { timeout: "4s" }
    })
    const { body } = await curl(`${url}/remote-run/nodes?nodes=n0,n1&output=keep`)
    expect(
      events(body)
        .filter(({ event }) => event === "end")
        .map(({ code }) => code)
    ).toEqual([0, null])
    expect((await left(seconds)).length).toBe(2)
    expect(await unkillable(url)).toBe(0)
  })
})

describe("without CAP_KILL", () => {
  it("a node's end comes all the same; what is left is counted until it is gone", async () => {
    const seconds = mark()
    const { url } = await deploy({
      agent: `sleep ${seconds}`,
      prefix: unprivileged,
      count: 2,
      config: { max_concurrent: 1 }
    })
    const { body } = await curl("-d", "async=yes", `${url}/remote-run/node/n0`)
    const { id } = JSON.parse(body)
    await until("it runs", async () => (await left(seconds)).length === 1)
    await curl("-X", "DELETE", `${url}/remote-run/runs/${id}`)
    const replay = await curl(`${url}/remote-run/runs/${id}/output`)
    expect(end(replay.body)).toMatchObject({ code: null, cancelled: true })
    expect(await unkillable(url)).toBeGreaterThan(0)
    // The permit is free again: the next agent starts.
    const next = JSON.parse((await curl("-d", "async=yes", `${url}/remote-run/node/n1`)).body)
    await until("the next runs", async () => (await left(seconds)).length === 2)
    await curl("-X", "DELETE", `${url}/remote-run/runs/${next.id}`)
    for (const pid of await left(seconds)) process.kill(pid, "SIGKILL")
    await until("all are gone", async () => (await unkillable(url)) === 0)
  })

  it("`check` warns", async () => {
    const { directory } = await deploy({ agent: "echo hello" })
    const [program = "", ...args] = unprivileged
    const checked = await command(program, [...args, process.execPath, main, "check", "--config", directory])
    expect(checked).toMatchObject({ code: 0, stderr: expect.stringContaining("CAP_KILL") })
  })
})

describe("check", () => {
  it("warns where the daemon could not end what sudo starts", async () => {
    const directory = prepare({ config: { remote_run: { use_sudo: true } } })
    try {
      chownSync(join(directory, "main.conf"), unit.uid, unit.uid)
      const check = (prefix: ReadonlyArray<string>) =>
        command(prefix[0] ?? "", [...prefix.slice(1), process.execPath, main, "check", "--config", directory])
      expect((await check(unprivileged)).stderr).toContain("CAP_KILL")
      expect((await check(withKill)).stderr).not.toContain("CAP_KILL")
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })
})
