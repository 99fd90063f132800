/** The folders that the daemon works on: one daemon's at a time, of the contract's modes, and with nothing else in them than files. */
import { execFileSync } from "node:child_process"
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync
} from "node:fs"
import { request } from "node:http"
import { userInfo } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import {
  cleanUp,
  command,
  curl,
  events,
  nodes,
  prepare,
  program,
  type Relay,
  start
} from "./support/Program.ts"
import {
  entryOf,
  fileOf,
  hashOf,
  head,
  newSender,
  removeSenders,
  type Sender,
  share,
  sharePath
} from "./support/Senders.ts"

let a: Sender
beforeAll(async () => {
  a = await newSender("A")
})
afterAll(cleanUp)
afterAll(removeSenders)

const known = () => ({ A: entryOf(a), ...nodes(3) })
const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8)

/** Whoever waits for the other end of a pipe waits no more. */
const letGo = (path: string) => closeSync(openSync(path, constants.O_RDWR | constants.O_NONBLOCK))

/** A pipe in a file's place, until the test is over. */
const pipes: Array<string> = []
const putPipe = (path: string) => {
  execFileSync("mkfifo", [path])
  pipes.push(path)
}
afterAll(() => pipes.filter((path) => existsSync(path)).forEach(letGo))

/** Ends of an upload's body, and the status of its answer. */
const slowUpload = (relay: Relay, path: string, size: number) => {
  const sent = request(`${relay.url}${path}`, { method: "POST", headers: { "content-length": size } })
  const status = new Promise<number>((resolve, reject) => {
    sent.once("response", (answer) => {
      answer.resume()
      resolve(answer.statusCode ?? 0)
    })
    sent.once("error", reject)
  })
  return { sent, status }
}

/** The events of each run of a relay, up to its end. */
const outputs = async (relay: Relay): Promise<ReadonlyArray<ReadonlyArray<Record<string, unknown>>>> => {
  const { runs } = JSON.parse((await curl(`${relay.url}/remote-run/runs`)).body)
  return Promise.all(
    runs.map(async ({ id }: { readonly id: string }) =>
      events((await curl(`${relay.url}/remote-run/runs/${id}/output?format=ndjson`)).body)
    )
  )
}

describe("a pipe in place of a file", () => {
  it("holds nobody up: metadata in the store, the nodes list", async () => {
    const relay = await start({ nodes: known() })
    const sharing = { from: a, target: "n0", fileId: "motd", path: fileOf("hello") }
    expect((await share(relay, sharing)).status).toBe(200)
    const stored = join(relay.directory, "shared-files/n0/files/A/motd.metadata")
    renameSync(stored, `${stored}.aside`)
    putPipe(stored)
    const path = `/shared-files/node/n0/motd?source-uuid=A&hash=${await hashOf(sharing.path)}`
    const asked = await Promise.all(Array.from({ length: 6 }, () => head(relay, path)))
    expect(asked).toEqual([500, 500, 500, 500, 500, 500])
    await expect.poll(() => relay.log()).toContain("motd.metadata")
    const other = join(relay.directory, "pipe")
    putPipe(other)
    renameSync(other, join(relay.directory, "nodeslist.json"))
    pipes.push(join(relay.directory, "nodeslist.json"))
    await until("the list is told to be unreadable", () => relay.log().includes("not a regular file"))
    expect((await share(relay, { ...sharing, fileId: "other" })).status).toBe(200)
    expect(await relay.stop()).toBe(0)
  })

  it("is told where the configuration is one", async () => {
    const directory = prepare()
    putPipe(join(directory, "pipe"))
    renameSync(join(directory, "pipe"), join(directory, "main.conf"))
    pipes.push(join(directory, "main.conf"))
    const { code, stderr } = await program("serve", "--config", directory)
    expect(code).toBe(2)
    expect(stderr).toContain("not a regular file")
  })
})

describe("a folder that can't be made, or written", () => {
  for (const [section, key] of [
    ["remote_run", "directory"],
    ["shared_files", "path"],
    ["shared_files", "outbox"]
  ] as const)
    it(`is a start error that names folder and user: ${section}.${key}`, async () => {
      const general = { node_id: "relay" }
      const output = { host: "127.0.0.1" }
      const first = prepare()
      writeFileSync(join(first, "file"), "")
      const folder = join(first, "file", "folder")
      const directory = prepare({
        config: { general, "output.upstream": output, [section]: { [key]: folder } }
      })
      const { code, stderr } = await program("serve", "--config", directory)
      expect(stderr).toContain(folder)
      expect(stderr).toContain(`by ${userInfo().username}: `)
      expect(code).toBe(3)
    })
})

describe("modes", () => {
  it("are the contract's whatever the umask", async () => {
    const umask = ["sh", "-c", 'umask 077; exec "$@"', "sh"]
    const relay = await start({ nodes: known(), prefix: umask })
    expect(
      (await share(relay, { from: a, target: "n0", fileId: "motd", path: fileOf("hello") })).status
    ).toBe(200)
    await curl(`${relay.url}/remote-run/node/n1?output=keep`)
    const stored = join(relay.directory, "shared-files")
    for (const folder of [stored, join(stored, "n0"), join(stored, "n0/files/A")])
      expect(modeOf(folder)).toBe("750")
    for (const file of ["motd", "motd.metadata"]) expect(modeOf(join(stored, "n0/files/A", file))).toBe("640")
    const runs = join(relay.directory, "runs")
    const [time = ""] = readdirSync(runs).filter((name) => !name.startsWith("~"))
    expect([modeOf(runs), modeOf(join(runs, time))]).toEqual(["700", "700"])
    for (const file of readdirSync(join(runs, time))) expect(modeOf(join(runs, time, file))).toBe("600")
    expect(await relay.stop()).toBe(0)
  })
})

describe("two daemons on one state", () => {
  it("are one: the second ends with 3, and says on which folder and who has it", async () => {
    const agent = "sleep 300"
    const relay = await start({ nodes: known(), agent, config: { general: { shutdown_grace: "1s" } } })
    const run = await curl(`${relay.url}/remote-run/node/n0?async=yes&output=discard`)
    expect(run.status).toBe(202)
    const second = await program("serve", "--config", relay.directory)
    expect(second.code).toBe(3)
    expect(second.stderr).toContain("it is waited for")
    expect(second.stderr).toContain(`process ${relay.pid} on `)
    expect(second.stderr).toContain(relay.directory)
    const runs = join(relay.directory, "runs")
    expect(readdirSync(runs, { recursive: true }).filter((name) => String(name).endsWith(".run"))).toEqual([])
    relay.kill("SIGTERM")
    expect(await relay.exited).toBe(0)
  })

  it("are one where the second is a restart while the first drains: nothing of that is touched", async () => {
    const options = {
      nodes: known(),
      agent: 'cd "$(dirname "$0")"; : > started; until [ -e go ]; do sleep 0.1; done; echo hello'
    }
    const old = await start(options)
    const content = fileOf("0123456789".repeat(400_000))
    const path = await sharePath({ from: a, target: "n0", fileId: "slow", path: content })
    const { sent, status } = slowUpload(old, path, 4_000_000)
    sent.write("0123456789".repeat(200_000))
    const temporary = join(old.directory, "shared-files/~tmp")
    await until("the upload is under way", () => readdirSync(temporary).length > 0)
    const run = curl(`${old.url}/remote-run/node/n1?output=keep&format=ndjson`)
    await until("the agent runs", () => existsSync(join(old.directory, "started")))
    old.kill("SIGTERM")
    const log = join(old.directory, "next.log")
    const kept = ["bash", "-c", 'exec "$@" 2> >(tee "$0" >&2)', log]
    const next = start({ ...options, directory: old.directory, prefix: kept })
    await until("the old one is about to stop", () => old.log().includes("stopping"))
    await until("the next one waits, or does not", () => {
      return existsSync(log) && /it is waited for|message=listening/.test(readFileSync(log, "utf8"))
    })
    sent.end("0123456789".repeat(200_000))
    expect(await status).toBe(200)
    writeFileSync(join(old.directory, "go"), "")
    const seen = events((await run).body)
    expect(seen.filter(({ event }) => event === "end")).toMatchObject([{ code: 0 }])
    expect(await old.exited).toBe(0)
    const relay = await next
    const [output = []] = await outputs(relay)
    expect(output.filter(({ event }) => event === "end")).toMatchObject([{ code: 0 }])
    expect(output.filter(({ event }) => event === "done")).toMatchObject([{ ok: 1, failed: 0 }])
    expect(await head(relay, `/shared-files/node/n0/slow?source-uuid=A&hash=${await hashOf(content)}`)).toBe(
      200
    )
    expect(readdirSync(temporary)).toEqual([])
    expect(await relay.stop()).toBe(0)
  })

  it("are never those of which one was killed, though an agent of it goes on", async () => {
    const options = { nodes: known(), agent: 'echo $$ > "$(dirname "$0")/pid"; exec sleep 300' }
    const old = await start(options)
    await curl(`${old.url}/remote-run/node/n0?async=yes&output=discard`)
    const pid = await until("an agent runs", async () => {
      const { stdout } = await command("cat", [join(old.directory, "pid")])
      return Number(stdout) || undefined
    })
    old.kill("SIGKILL")
    const relay = await start({ ...options, directory: old.directory })
    expect(relay.log()).not.toContain("it is waited for")
    await until("the run is repaired", async () =>
      (await outputs(relay)).flat().some(({ event }) => event === "done")
    )
    await relay.stop()
    await command("kill", ["-KILL", String(pid)])
  })
})
