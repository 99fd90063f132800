/** Runs under control, by the built program: batches, the stop after too many failures, and the preview of it. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { type Identity, makeIdentity, removeIdentities } from "./support/Identities.ts"
import {
  cleanUp,
  curl,
  events,
  type NodeEntry,
  nodes,
  prepare,
  type Relay,
  start
} from "./support/Program.ts"

let root: Identity
let sub: Identity

beforeAll(async () => {
  ;[root, sub] = await Promise.all([makeIdentity("root"), makeIdentity("sub")])
})
afterAll(removeIdentities)
afterEach(cleanUp)

const count = 1000
/** Every tenth of the nodes, from the tenth on. */
const agent = 'case "$host" in *9.example.com) echo broken >&2; exit 1;; esac; echo fine'
const control = "batch=100&max_failures=5%25"

const named = (body: string, event: string) => events(body).filter((one) => one.event === event)
const skippedOf = (body: string) => named(body, "end").filter(({ skipped }) => skipped === true)

/** What every such run has: one end of each node, and numbers that agree with them. */
const expectWhole = (body: string) => {
  const ends = named(body, "end")
  expect(new Set(ends.map(({ node }) => node)).size).toBe(count)
  expect(ends.length).toBe(count)
  const ok = ends.filter(({ code }) => code === 0).length
  const skipped = skippedOf(body).length
  const failed = count - ok - skipped
  expect(named(body, "done")).toMatchObject([{ ok, failed, skipped }])
  return { ok, failed, skipped }
}

describe("a thousand nodes in batches of a hundred, of which every tenth fails", () => {
  it("are stopped by the 51st failure: with one agent at a time, exactly there", async () => {
    const relay = await start({ nodes: nodes(count), agent, config: { remote_run: { max_concurrent: 1 } } })
    const { status, body } = await curl(`${relay.url}/remote-run/all?output=keep&async=yes&${control}`)
    expect(status).toBe(200)
    expect(expectWhole(body)).toEqual({ ok: 459, failed: 51, skipped: 490 })
    expect(named(body, "start").map(({ node }) => node)).toEqual(Object.keys(nodes(510)))
    for (const end of skippedOf(body))
      expect(end).toEqual({
        event: "end",
        node: end.node,
        code: null,
        skipped: true,
        duration: 0,
        stderr: ""
      })
    const [run] = JSON.parse((await curl(`${relay.url}/remote-run/runs`)).body).runs
    expect(run).toMatchObject({ nodes: count, running: 0, ok: 459, failed: 51, skipped: 490 })
    const { states } = JSON.parse((await curl(`${relay.url}/remote-run/runs/${run.id}`)).body)
    expect(states.filter((state: { skipped?: true }) => state.skipped === true).length).toBe(490)
    await expect.poll(() => relay.log()).toMatch(/level=WARN .*a run is stopped.*limit="?max_failures=50/)
  })

  it("are stopped by the 51st failure, with fifty agents at a time: nobody starts behind it", async () => {
    const relay = await start({ nodes: nodes(count), agent })
    const { body } = await curl(`${relay.url}/remote-run/all?output=keep&async=yes&${control}`)
    const { ok, failed } = expectWhole(body)
    expect(failed).toBeGreaterThanOrEqual(51)
    // The sixth batch is the last.
    expect(ok + failed).toBeLessThanOrEqual(600)
    let failures = 0
    let open = 0
    const started: Array<unknown> = []
    for (const { event, node, code, skipped } of events(body)) {
      if (event === "start") {
        expect(failures).toBeLessThanOrEqual(50)
        // All of the batches before have ended.
        if (started.length % 100 === 0) expect(open).toBe(0)
        started.push(node)
        open++
      }
      if (event === "end" && skipped !== true) {
        open--
        if (code !== 0) failures++
      }
    }
    expect(started.length).toBe(ok + failed)
    expect(started.length).toBeGreaterThan(500)
  })
})

const behind = (): Record<string, NodeEntry> =>
  Object.fromEntries(
    Object.entries(nodes(count)).map(([id, entry]) => [id, { ...entry, "policy-server": "sub" }])
  )

const startLevel = async (
  identity: Identity,
  list: Record<string, NodeEntry>,
  below?: { readonly port: number; readonly identity: Identity }
): Promise<Relay> => {
  const directory = prepare()
  const certificates = join(directory, "allnodescerts.pem")
  writeFileSync(certificates, below?.identity.pem ?? "")
  return start({
    directory,
    nodes: list,
    agent,
    config: {
      general: {
        node_id: identity.id,
        nodes_list_file: join(directory, "nodeslist.json"),
        listen: "127.0.0.1:0",
        nodes_certs_file: certificates,
        ...(below === undefined ? {} : { https_port: below.port })
      },
      tls: { certificate: identity.certificate, key: identity.key },
      ...(identity.id === "root" ? {} : { "output.upstream": { host: "127.0.0.1" } })
    }
  })
}

describe("the same behind a sub-relay", () => {
  const startBoth = async () => {
    const lower = await startLevel(sub, behind())
    const upper = await startLevel(
      root,
      { sub: { hostname: "127.0.0.1", "policy-server": "root" }, ...behind() },
      { port: lower.port, identity: sub }
    )
    const urlOf = ({ port }: Relay) => `https://127.0.0.1:${port}/rudder/relay-api`
    return { upper: urlOf(upper), lower: urlOf(lower) }
  }
  const form = `nodes=${Object.keys(behind()).join(",")}&output=keep&async=yes&${control}`

  it("is one call a batch, and none after the sixth, in which the 51st fails", async () => {
    const { upper, lower } = await startBoth()
    const { status, body } = await curl(
      ...["-k", "-d", `${form}&actor=jane&reason=CHG+7`, `${upper}/remote-run/nodes`]
    )
    expect(status).toBe(200)
    expect(expectWhole(body)).toEqual({ ok: 540, failed: 60, skipped: 400 })
    const [run] = JSON.parse((await curl("-k", `${upper}/remote-run/runs`)).body).runs
    expect(run).toMatchObject({
      ok: 540,
      failed: 60,
      skipped: 400,
      by: { address: "127.0.0.1", actor: "jane", reason: "CHG 7" }
    })
    const { runs } = JSON.parse((await curl("-k", `${lower}/remote-run/runs`)).body)
    expect(runs.length).toBe(6)
    for (const one of runs) {
      expect(one).toMatchObject({ nodes: 100, ok: 90, failed: 10, by: { actor: "jane", reason: "CHG 7" } })
      // The relay above has shown its certificate.
      expect(one.by.key).toMatch(/^sha256\/\/[A-Za-z0-9+/]{43}=$/)
    }
  })

  it("is previewed as it would run, and nothing is run or kept", async () => {
    const { upper, lower } = await startBoth()
    const { status, body } = await curl("-k", "-d", `${form}&preview=yes`, `${upper}/remote-run/nodes`)
    expect(status).toBe(200)
    expect(JSON.parse(body)).toEqual({
      nodes: Object.entries(behind()).map(([node, { hostname }], place) => ({
        node,
        hostname,
        via: ["sub"],
        batch: 1 + Math.floor(place / 100)
      })),
      unknown: []
    })
    for (const url of [upper, lower])
      expect(JSON.parse((await curl("-k", `${url}/remote-run/runs`)).body)).toEqual({ runs: [], next: null })
  })
})

describe("a relay that stops while a run waits", () => {
  it.each([
    ["for the time between two batches", "batch=1&batch_wait=1h"],
    ["for its splay", "splay=7days"]
  ])("%s ends it at once, and has it in its history as cancelled", async (_, query) => {
    const relay = await start({ nodes: nodes(3), agent })
    const { body } = await curl(`${relay.url}/remote-run/all?async=yes&${query}`)
    const [{ id } = {}] = events(body)
    const detail = async (at: Relay) => JSON.parse((await curl(`${at.url}/remote-run/runs/${id}`)).body)
    const ok = query.startsWith("batch") ? 1 : 0
    await until("the first batch has ended", async () => (await detail(relay)).ok === ok)
    expect(await relay.stop()).toBe(0)
    const again = await start({ directory: relay.directory, nodes: nodes(3), agent })
    const { states, interrupted } = await detail(again)
    expect(interrupted).toBeUndefined()
    expect(states.filter((state: { cancelled?: true }) => state.cancelled === true).length).toBe(3 - ok)
  })
})
