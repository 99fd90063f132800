/**
 * Runs that are asked for more than once: by a key, over `kill -9` at any moment, and as a retry of what was not ok.
 * `E2E_KILLS` says how often it is killed; `E2E_SEED` replays what a failed test printed.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as after } from "node:timers/promises"
import { afterEach, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { cleanUp, curl, events, nodes, type Options, prepare, type Relay, start } from "./support/Program.ts"
import { chance, setting } from "./support/Seeded.ts"

afterEach(cleanUp)

const rounds = setting("E2E_KILLS", 6)

/** Each agent leaves a line with its host name; while there is a file `hold`, it waits. */
const ledgerOf = (directory: string) => join(directory, "started")
const holdOf = (directory: string) => join(directory, "hold")
const agent = `dir=$(dirname "$0")
echo "$host" >> "$dir/started"
while [ -e "$dir/hold" ]; do sleep 0.02; done
echo "hello from $host"
[ ! -e "$dir/fail-$host" ]`

const startedIn = (directory: string): ReadonlyArray<string> =>
  existsSync(ledgerOf(directory)) ? readFileSync(ledgerOf(directory), "utf8").trim().split("\n") : []

const options = (count: number, more: Record<string, number> = {}): Options => ({
  nodes: nodes(count),
  agent,
  config: { remote_run: { kill_grace: "1s", ...more } }
})

const order = (relay: Relay, path: string, ...more: ReadonlyArray<string>) =>
  curl("-X", "POST", `${relay.url}/remote-run/${path}`, ...more)

const withKey = (key: string) => ["-H", `Idempotency-Key: ${key}`]

const runsOf = async (relay: Relay): Promise<ReadonlyArray<Record<string, unknown>>> =>
  JSON.parse((await curl(`${relay.url}/remote-run/runs`)).body).runs

const killed = async (relay: Relay) => {
  relay.kill("SIGKILL")
  await relay.exited
}

describe("a request with an Idempotency-Key", () => {
  it("that comes ten times at once starts one run", async () => {
    const relay = await start(options(3))
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => order(relay, "nodes?nodes=n0,n1,n2&async=yes", ...withKey("k")))
    )
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]))
    expect(new Set(answers.map(({ body }) => events(body)[0]?.id)).size).toBe(1)
    await until("all have ended", async () => (await runsOf(relay)).every(({ ok }) => ok === 3))
    expect([...startedIn(relay.directory)].sort()).toEqual(
      ["n0", "n1", "n2"].map((id) => `${id}.example.com`)
    )
    expect((await runsOf(relay)).length).toBe(1)
    const other = await order(relay, "nodes?nodes=n0,n1&async=yes", ...withKey("k"))
    expect(other.status).toBe(409)
    expect(JSON.parse(other.body)._tag).toBe("IdempotencyConflict")
  })

  it("that comes again after kill -9 between the key and the first agent is one run, which happens", async () => {
    const directory = prepare(options(3, { max_concurrent: 1 }))
    writeFileSync(holdOf(directory), "")
    const first = await start({ ...options(3, { max_concurrent: 1 }), directory })
    // It has the only permit.
    await order(first, "node/n0?async=yes")
    await until("it runs", () => startedIn(directory).length === 1)
    const accepted = await order(first, "nodes?nodes=n1,n2&async=yes", ...withKey("k"))
    const id = events(accepted.body)[0]?.id
    expect(accepted.status).toBe(202)
    await killed(first)
    writeFileSync(ledgerOf(directory), "")
    const second = await start({ ...options(3), directory })
    expect((await curl(`${second.url}/remote-run/runs/${id}`)).body).toContain('"interrupted":true')
    rmSync(holdOf(directory))
    for (let i = 0; i < 3; i++) {
      const again = await order(second, "nodes?nodes=n1,n2", ...withKey("k"))
      expect(events(again.body)[0]?.id).toBe(id)
      expect(events(again.body).at(-1)).toMatchObject({ event: "done", ok: 2, failed: 0 })
    }
    expect([...startedIn(directory)].sort()).toEqual(["n1.example.com", "n2.example.com"])
    const runs = await runsOf(second)
    expect(runs.length).toBe(2)
    expect(runs[0]).toMatchObject({ id, ok: 2, failed: 0 })
    expect(runs[0]).not.toHaveProperty("interrupted")
    // When it was asked for first, as its id says, by which the list is in order.
    const asked = Number.parseInt(String(id).replace("-", "").slice(0, 12), 16)
    expect(Date.parse(String(runs[0]?.started))).toBe(asked)
  })

  it("that comes again after kill -9 of its agents starts none anew, and a retry runs what was cut off", async () => {
    const directory = prepare(options(2))
    writeFileSync(holdOf(directory), "")
    const first = await start({ ...options(2), directory })
    const accepted = await order(first, "all?async=yes&classes=a", ...withKey("k"))
    const id = events(accepted.body)[0]?.id
    await until("both run", () => startedIn(directory).length === 2)
    await killed(first)
    const second = await start({ ...options(2), directory })
    rmSync(holdOf(directory))
    const again = await order(second, "all?async=no&classes=a", ...withKey("k"))
    expect(events(again.body)[0]?.id).toBe(id)
    expect(events(again.body).at(-1)).toMatchObject({ event: "done", failed: 2, interrupted: true })
    expect(startedIn(directory).length).toBe(2)
    const none = await order(second, `runs/${id}/retry?only=failed,cancelled`)
    expect(none).toEqual({ status: 200, body: '{"nodes":[]}\n' })
    const retried = await order(second, `runs/${id}/retry?only=interrupted`)
    expect(events(retried.body)[0]).toMatchObject({ nodes: ["n0", "n1"], classes: ["a"] })
    expect(events(retried.body).at(-1)).toMatchObject({ ok: 2 })
    expect((await runsOf(second))[0]).toMatchObject({ parent: id, ok: 2 })
  })

  it("is one run over kill -9 at any moment: no agent twice, and none at all only where it was cut off", async () => {
    const random = chance()
    const directory = prepare(options(1))
    let relay = await start({ ...options(1), directory })
    for (let round = 0; round < rounds; round++) {
      writeFileSync(ledgerOf(directory), "")
      const request = () => order(relay, "all?async=yes", ...withKey(`round ${round}`))
      const first = request().catch(() => undefined)
      await after(random.below(60))
      await killed(relay)
      const answered = events((await first)?.body ?? "")[0]?.id
      relay = await start({ ...options(1), directory })
      const again = await request()
      const id = events(again.body)[0]?.id
      expect(again.status).toBe(202)
      if (answered !== undefined) expect(id).toBe(answered)
      const ended = await until("it has ended", async () => {
        const run = JSON.parse((await curl(`${relay.url}/remote-run/runs/${id}`)).body)
        return run.states[0].state === "ended" ? run : undefined
      })
      const agents = startedIn(directory).filter((host) => host !== "").length
      expect(agents, `round ${round}, seed ${random.seed}`).toBeLessThanOrEqual(1)
      if (agents === 0) expect(ended.interrupted).toBe(true)
    }
  })
})

describe("a retry", () => {
  it("runs the rest of a run that was stopped, and what failed", async () => {
    const directory = prepare(options(6, { max_concurrent: 1 }))
    writeFileSync(join(directory, "fail-n0.example.com"), "")
    const relay = await start({ ...options(6, { max_concurrent: 1 }), directory })
    const accepted = await order(relay, "all?async=yes")
    const id = events(accepted.body)[0]?.id
    await until("the first has ended", () => startedIn(directory).length >= 2)
    writeFileSync(holdOf(directory), "")
    expect((await curl("-X", "DELETE", `${relay.url}/remote-run/runs/${id}`)).status).toBe(202)
    const failed = await order(relay, `runs/${id}/retry?only=failed&async=yes`)
    expect(failed.status).toBe(202)
    expect(events(failed.body)[0]).toMatchObject({ nodes: ["n0"] })
    rmSync(holdOf(directory))
    rmSync(join(directory, "fail-n0.example.com"))
    const rest = await order(relay, `runs/${id}/retry`)
    const asked = events(rest.body)[0]?.nodes
    const old = JSON.parse((await curl(`${relay.url}/remote-run/runs/${id}`)).body)
    expect(asked).toHaveLength(6 - old.ok)
    expect(events(rest.body).at(-1)).toMatchObject({ event: "done", ok: 6 - old.ok, failed: 0 })
  })
})
