/** As it is really deployed: a daemon that is not root, and Debian's sudo for the one command. */
import { execFileSync } from "node:child_process"
import { chownSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import {
  cleanUp,
  command,
  curl,
  events,
  nodes,
  prepare,
  processesWith,
  program,
  start,
  until
} from "./support/Program.ts"

const user = "rudder-relay-test"
const sudoers = `/etc/sudoers.d/${user}`
let uid = 0

beforeAll(() => {
  execFileSync("useradd", ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin", user])
  uid = Number(execFileSync("id", ["-u", user]).toString())
})
afterEach(async () => {
  await cleanUp()
  rmSync(sudoers, { force: true })
})
afterAll(() => {
  execFileSync("userdel", [user])
})

/** Numbers that no other process sleeps for. */
const mark = () => `${100_000 + Math.floor(Math.random() * 1e9)}`

const asUser = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
const withCapKill = [...asUser, "--inh-caps", "+kill", "--ambient-caps", "+kill"]

/** A folder that is the user's, and a sudo that lets it run the agent there, with a terminal of its own or not. */
const deploy = (agent: string, pty: boolean, config: Record<string, string | number> = {}) => {
  const options = {
    nodes: nodes(2),
    agent,
    config: {
      general: { shutdown_grace: "1s" },
      remote_run: { use_sudo: true, kill_grace: "500ms", ...config }
    }
  }
  const directory = prepare(options)
  for (const path of ["", "main.conf", "nodeslist.json"]) chownSync(join(directory, path), uid, uid)
  writeFileSync(
    sudoers,
    `Defaults:${user} ${pty ? "" : "!"}use_pty\n${user} ALL=(root) NOPASSWD: ${join(directory, "agent")}\n`,
    { mode: 0o440 }
  )
  return { ...options, directory }
}

/** The agent's processes are root's; some leave their session, some ignore SIGTERM. */
const family = (seconds: string) => `
echo "as $(id -un)"
echo by-name > /dev/stdout
echo "a warning" > /dev/stderr
(trap '' TERM; sleep ${seconds}) &
setsid sh -c 'sleep ${seconds}' &
`

describe.each([
  ["with use_pty, Debian's default", true],
  ["without use_pty", false]
])("under sudo, %s", (_, pty) => {
  it("the agent is root, and its output, code and stderr come as without", async () => {
    const options = deploy(
      'echo "as $(id -un), classes $classes"; echo by-name > /dev/stdout; echo oops > /dev/stderr; exit 4',
      pty
    )
    const relay = await start({ ...options, prefix: withCapKill })
    const { body } = await curl(`${relay.url}/remote-run/node/n0?output=keep&classes=a,b`)
    expect(body).toContain("n0:as root, classes a,b\nn0:by-name\n")
    expect(events(body).find(({ event }) => event === "end")).toMatchObject({ code: 4, stderr: "oops\n" })
  })

  it("with CAP_KILL, no process is left after a run, a time-out, a cancel and a shutdown", async () => {
    const seconds = mark()
    const options = deploy(`${family(seconds)} [ -z "$classes" ] && exit 0; exec sleep ${seconds}`, pty, {
      timeout: "3s"
    })
    const relay = await start({ ...options, prefix: withCapKill })
    const none = () =>
      until("none is left", async () =>
        (await processesWith(`sleep ${seconds}`)).length === 0 ? true : undefined
      )

    const over = await curl(`${relay.url}/remote-run/node/n0?output=keep`)
    expect(events(over.body).find(({ event }) => event === "end")).toMatchObject({ code: 0 })
    await none()

    const late = await curl(`${relay.url}/remote-run/node/n0?output=keep&classes=hang`)
    expect(late.body).toContain("n0:as root\n")
    expect(events(late.body).find(({ event }) => event === "end")).toMatchObject({
      code: null,
      timeout: true
    })
    await none()

    const { id } = JSON.parse(
      (await curl("-d", "async=yes&classes=hang", `${relay.url}/remote-run/all`)).body
    )
    await until("both run", async () =>
      (await processesWith(`sleep ${seconds}`)).length >= 6 ? true : undefined
    )
    await curl("-X", "DELETE", `${relay.url}/remote-run/runs/${id}`)
    const replay = await curl(`${relay.url}/remote-run/runs/${id}/output`)
    expect(events(replay.body).at(-1)).toMatchObject({ event: "done", failed: 2 })
    await none()

    await curl("-d", "async=yes&classes=hang", `${relay.url}/remote-run/all`)
    await until("both run", async () =>
      (await processesWith(`sleep ${seconds}`)).length >= 6 ? true : undefined
    )
    expect(await relay.stop()).toBe(0)
    await none()
  })
})

// Then it can still ask sudo to pass a SIGTERM on, but not make an agent go that ignores it.
describe("without CAP_KILL", () => {
  it("the node's end comes all the same, the permit is given back, and what is left is counted until it is gone", async () => {
    const seconds = mark()
    const options = deploy(`[ -n "$classes" ] && { trap '' TERM; sleep ${seconds}; }; echo fine`, true, {
      timeout: "1s",
      max_concurrent: 1
    })
    const relay = await start({ ...options, prefix: asUser })
    const { body } = await curl(`${relay.url}/remote-run/node/n0?output=keep&classes=hang`)
    expect(events(body).find(({ event }) => event === "end")).toMatchObject({ code: null, timeout: true })
    const status = async () => JSON.parse((await curl(`${relay.url}/system/status`)).body).data.runs
    expect((await status()).unkillable).toBeGreaterThan(0)
    expect((await status()).status).toBe("error")
    // The one permit is there again.
    expect((await curl(`${relay.url}/remote-run/node/n1?output=keep`)).body).toContain("n1:fine")
    for (const pid of await processesWith(`sleep ${seconds}`)) process.kill(pid, "SIGKILL")
    await until("it is counted no more", async () => ((await status()).unkillable === 0 ? true : undefined))
  })

  it("check warns", async () => {
    const { directory } = deploy("", true)
    const main = process.execPath
    const relay = new URL("../../dist/main.js", import.meta.url).pathname
    const without = await command("setpriv", [
      ...asUser.slice(1),
      main,
      relay,
      "check",
      "--config",
      directory
    ])
    expect(without.code).toBe(0)
    expect(without.stderr).toContain("CAP_KILL")
    const withIt = await command("setpriv", [
      ...withCapKill.slice(1),
      main,
      relay,
      "check",
      "--config",
      directory
    ])
    expect(withIt.stderr).not.toContain("CAP_KILL")
    expect((await program("check", "--config", directory)).stderr).not.toContain("CAP_KILL")
  })
})
