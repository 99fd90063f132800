/** A day of a relay, by the built program: what its log, its metrics and its status say of who did what, and of what is wrong. */

import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { afterAll, afterEach, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { makeIdentity, removeIdentities } from "./support/Identities.ts"
import { jsonOf, type LogLine, logfmtOf } from "./support/LogLines.ts"
import { cleanUp, curl, type Options, type Relay, start, writeNodes } from "./support/Program.ts"
import { entryOf, fileOf, isThere, newSender, removeSenders, type Sender, share } from "./support/Senders.ts"

afterEach(cleanUp)
afterAll(removeSenders)
afterAll(removeIdentities)

/** A policy server that takes everything, until it is closed. */
const takesAll = async (): Promise<Server> => {
  const server = createServer((request, response) => {
    request.resume()
    request.on("end", () => response.writeHead(request.method === "HEAD" ? 404 : 200).end())
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return server
}
const portOf = (server: Server): number => (server.address() as AddressInfo).port
const close = (server: Server) =>
  new Promise((resolve) => {
    server.close(resolve)
    server.closeAllConnections()
  })

const agent = 'case "$host" in bad*) echo broken >&2; exit 3;; slow*) sleep 60;; esac; echo fine'

const node = (id: string) => ({ hostname: `${id}.example.com`, "policy-server": "me" })

interface Day {
  readonly relay: Relay
  readonly c: Sender
  readonly lines: () => ReadonlyArray<LogLine>
  /** The one line of the request with this id. */
  readonly lineOf: (id: string) => LogLine
}

const isOfRequest = (id: string) => (line: LogLine) => line.request === id

/** What happens: each request under an id of its own. */
const live = async (format: "logfmt" | "json"): Promise<Day> => {
  const c = await newSender("c")
  const upstream = await takesAll()
  const options: Options = {
    agent,
    nodes: {
      c: { ...entryOf(c, "me") },
      good: node("good"),
      bad: node("bad"),
      slow: node("slow")
    },
    config: {
      general: { node_id: "me" },
      log: { format },
      remote_run: { kill_grace: "1s" },
      shared_files: { forward_wait: "2s", forward_timeout: "1s" },
      "shared_files.retry": { initial: "50ms", max: "100ms" },
      "output.upstream": { base_url: `http://127.0.0.1:${portOf(upstream)}` }
    }
  }
  const relay = await start(options)
  const lines = () => (format === "json" ? jsonOf(relay) : logfmtOf(relay))
  const lineOf = (id: string) => {
    const found = lines().filter(isOfRequest(id))
    expect([id, found.length]).toEqual([id, 1])
    return found[0] ?? {}
  }
  const as = (id: string) => ["-H", `X-Request-Id: ${id}`]
  const { url } = relay

  const run = `${url}/remote-run/nodes?nodes=good,bad,ghost&classes=update,reboot`
  await curl(
    ...as("run"),
    "-X",
    "POST",
    "--data-urlencode",
    "actor=Ada",
    "--data-urlencode",
    "reason=a day",
    run
  )
  const stranger = ["-H", "X-Forwarded-For: 192.0.2.9"]
  await curl(...as("refused-access"), ...stranger, "-X", "POST", `${url}/remote-run/all`)
  const path = fileOf("hello\n")
  const file = { from: c, target: "good", fileId: "motd", path }
  expect((await share(relay, file, ...as("upload"))).status).toBe(200)
  const changed = { ...file, path: fileOf("hell0\n") }
  const forged = { ...changed, with: { signature: (await c.sign(path)).toString("base64url") } }
  expect((await share(relay, forged, ...as("refused-signature"))).status).toBe(403)
  expect((await share(relay, { ...file, target: "far", fileId: "delivered" }, ...as("sent-on"))).status).toBe(
    200
  )
  await close(upstream)
  expect((await share(relay, { ...file, target: "far", fileId: "queued" }, ...as("queued"))).status).toBe(202)
  await until("the policy server is told to be dead", () =>
    lines().some(({ message }) => message?.includes("can't be reached") === true)
  )
  expect((await curl(...as("reload"), "-X", "POST", `${url}/1/system/reload`)).status).toBe(200)

  const begun = await curl(
    ...as("slow-run"),
    `${url}/remote-run/node/slow?async=yes&output=discard&actor=Bob`
  )
  const { id } = JSON.parse(begun.body)
  await until(
    "it runs",
    async () => JSON.parse((await curl(`${url}/remote-run/runs/${id}`)).body).running === 1
  )
  expect((await curl(...as("cancel"), "-X", "DELETE", `${url}/remote-run/runs/${id}`)).status).toBe(202)
  await until("it has ended", () => lines().filter(({ message }) => message === "run ended").length === 2)
  const remove = `${url}/1/system/files/good/c/motd`
  expect((await curl(...as("remove"), "-X", "DELETE", remove)).status).toBe(200)
  // What changes nothing, and is not refused, has no line.
  expect(await isThere(relay, file)).toBe(404)
  await curl(...as("look"), `${url}/1/system/status`)
  await curl(...as("nowhere"), `${url}/no/such/route`)
  return { relay, c, lines, lineOf }
}

describe.each(["logfmt", "json"] as const)("a day in the log, as %s,", (format) => {
  it("says who did what, about what, and what came of it", async () => {
    const { lines, lineOf } = await live(format)
    const here = { address: "127.0.0.1" }
    expect(lineOf("run")).toMatchObject({
      ...here,
      level: "INFO",
      message: "a request was answered",
      method: "POST",
      route: "/remote-run/nodes",
      nodes: "good bad ghost",
      node_count: "3",
      classes: "update reboot",
      class_count: "2",
      actor: "Ada",
      reason: "a day",
      status: "200",
      run: expect.stringMatching(/^[0-9a-f-]{36}$/)
    })
    const ended = lines().filter(({ message }) => message === "run ended")
    expect(ended[0]).toMatchObject({
      ...here,
      run: lineOf("run").run,
      actor: "Ada",
      reason: "a day",
      outcome: "failed",
      nodes: "2",
      ok: "1",
      failed: "1",
      seconds: expect.stringMatching(/^[0-9.]+$/)
    })
    expect(lines().filter(({ message }) => message === "an agent failed")).toMatchObject([
      { node: "bad", problem: "it ended with code 3: broken", run: lineOf("run").run },
      ...[]
    ])
    expect(lineOf("refused-access")).toMatchObject({
      level: "WARN",
      address: "192.0.2.9",
      peer: "127.0.0.1",
      key: "access.policy_server",
      method: "POST",
      route: "/remote-run/all",
      status: "403",
      tag: "AccessDenied"
    })
    const file = { ...here, source: "c", method: "POST", route: "/shared-files/node/:target_uuid/:file_id" }
    expect(lineOf("upload")).toMatchObject({
      ...file,
      level: "INFO",
      message: "shared file accepted",
      target: "good",
      file_id: "motd",
      size: "6",
      result: "stored",
      status: "200"
    })
    expect(lineOf("refused-signature")).toMatchObject({
      ...file,
      level: "WARN",
      message: "a request was refused",
      target: "good",
      file_id: "motd",
      status: "403",
      tag: "BadSignature",
      refusal: "signature-mismatch"
    })
    expect(lineOf("sent-on")).toMatchObject({ ...file, target: "far", result: "stored", status: "200" })
    expect(lineOf("queued")).toMatchObject({ ...file, target: "far", result: "queued", status: "202" })
    expect(lineOf("reload")).toMatchObject({
      ...here,
      method: "POST",
      route: "/system/reload",
      status: "200"
    })
    expect(lineOf("slow-run")).toMatchObject({ actor: "Bob", nodes: "slow", status: "202" })
    expect(lineOf("cancel")).toMatchObject({
      ...here,
      method: "DELETE",
      route: "/remote-run/runs/:id",
      run: lineOf("slow-run").run,
      result: "cancelled",
      status: "202"
    })
    expect(ended[1]).toMatchObject({ actor: "Bob", outcome: "cancelled", ok: "0", failed: "1" })
    expect(lineOf("remove")).toMatchObject({
      ...here,
      target: "good",
      source: "c",
      file_id: "motd",
      status: "200"
    })
    for (const id of ["look", "nowhere"]) expect(lines().filter(isOfRequest(id))).toEqual([])
    expect(lines().filter(({ method }) => method === "HEAD")).toEqual([])
  })
})

describe("the log", () => {
  it("has no more lines of one caller's refusals than it should, and tells how many it left out", async () => {
    const relay = await start({ config: { access: { hosts: ["relay"] } } })
    const refused = Array.from({ length: 100 }, () => `${relay.url}/remote-run/node/a?classes=%25`)
    await curl("-o", "/dev/null", ...refused)
    const lines = () => logfmtOf(relay).filter(({ tag }) => tag === "InvalidRequest")
    await expect.poll(lines).toHaveLength(30)
    expect(lines()[0]).toMatchObject({
      level: "WARN",
      status: "400",
      error: expect.stringContaining("classes")
    })
  })

  it("says what others wrote as one line of text, cut", async () => {
    const relay = await start()
    const actor = `\u001b[31mred ${"é".repeat(100)}`
    const path = `/remote-run/node/a?reason=${"x".repeat(200)}`
    await curl("--data-urlencode", `actor=${actor}`, "-X", "POST", `${relay.url}${path}`)
    await curl(
      "-H",
      "X-Request-Id: a-b",
      "-X",
      "POST",
      "-d",
      `classes=${"a,".repeat(50)}b`,
      `${relay.url}/remote-run/node/a`
    )
    const line = await until("its line", () => logfmtOf(relay).find(isOfRequest("a-b")))
    expect(relay.log()).not.toContain("\u001b")
    expect(line).toMatchObject({ classes: "a b", status: "404", tag: "UnknownTarget" })
  })

  it("has every request at debug, and nothing where it is off", async () => {
    const loud = await start({ config: { log: { level: "debug" } } })
    await curl("-H", "X-Request-Id: look", `${loud.url}/1/system/info`)
    expect(await until("its line", () => logfmtOf(loud).find(isOfRequest("look")))).toMatchObject({
      level: "DEBUG",
      route: "/system/info",
      status: "200"
    })
  })
})

/** The samples of an answer: every line that is no comment is one. */
const metricsOf = async (relay: Relay): Promise<Readonly<Record<string, number>>> =>
  Object.fromEntries(
    (await curl(`${relay.origin}/metrics`)).body
      .trimEnd()
      .split("\n")
      .filter((line) => !line.startsWith("#"))
      .map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))])
  )

describe("the metrics after such a day", () => {
  it("count exactly what happened", async () => {
    const { relay } = await live("logfmt")
    const found = await metricsOf(relay)
    const upload = (status: number) =>
      `rudder_relay_requests_total{method="POST",route="/shared-files/node/:target_uuid/:file_id",status="${status}"}`
    const day = {
      [upload(200)]: 2,
      [upload(202)]: 1,
      [upload(403)]: 1,
      'rudder_relay_requests_total{method="POST",route="/remote-run/nodes",status="200"}': 1,
      'rudder_relay_request_seconds_count{method="POST",route="/remote-run/nodes",status="200"}': 1,
      'rudder_relay_requests_total{method="POST",route="/remote-run/all",status="403"}': 1,
      'rudder_relay_requests_total{method="HEAD",route="/shared-files/node/:target_uuid/:file_id",status="404"}': 1,
      'rudder_relay_requests_total{method="GET",route="none",status="404"}': 1,
      'rudder_relay_runs_total{outcome="failed"}': 1,
      'rudder_relay_runs_total{outcome="cancelled"}': 1,
      'rudder_relay_runs_total{outcome="ok"}': 0,
      'rudder_relay_agents_total{outcome="ok"}': 1,
      'rudder_relay_agents_total{outcome="failed"}': 1,
      'rudder_relay_agents_total{outcome="cancelled"}': 1,
      'rudder_relay_agents_total{outcome="timeout"}': 0,
      rudder_relay_agent_seconds_count: 3,
      rudder_relay_runs_active: 0,
      rudder_relay_agents_running: 0,
      'rudder_relay_uploads_total{result="stored"}': 2,
      'rudder_relay_uploads_total{result="queued"}': 1,
      rudder_relay_upload_bytes_total: 18,
      'rudder_relay_upload_refusals_total{reason="signature-mismatch"}': 1,
      'rudder_relay_upload_refusals_total{reason="hash-mismatch"}': 0,
      'rudder_relay_outbox_entries{state="waiting"}': 1,
      'rudder_relay_outbox_bytes{state="waiting"}': 6,
      'rudder_relay_outbox_deliveries_total{outcome="delivered"}': 1,
      'rudder_relay_access_refusals_total{rule="access.policy_server"}': 1,
      'rudder_relay_access_refusals_total{rule="browser"}': 0,
      rudder_relay_nodes_list_ok: 1,
      rudder_relay_upstream_up: 0,
      rudder_relayd_managed_nodes_total: 4,
      rudder_relayd_sub_nodes_total: 4
    }
    expect(found).toMatchObject(day)
    expect(found.rudder_relay_outbox_oldest_seconds).toBeGreaterThan(0)
    expect(found.rudder_relay_nodes_list_age_seconds).toBeGreaterThan(0)
    expect(found.process_open_fds).toBeGreaterThan(10)
  })
})

describe("the status", () => {
  const statusOf = async (relay: Relay, ...options: ReadonlyArray<string>) => {
    const url = `${relay.url}/1/system/status`
    return JSON.parse((await curl(...options, url)).body).data
  }

  it("says what is well, and that the policy server was not asked yet", async () => {
    const relay = await start({
      nodes: { good: node("good") },
      config: { general: { node_id: "me" }, "output.upstream": { base_url: "http://127.0.0.1:9" } }
    })
    const status = await statusOf(relay)
    expect(Object.keys(status)).toEqual([
      "configuration",
      "nodes",
      "upstream",
      "outbox",
      "runs",
      "storage",
      "certificates"
    ])
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/)
    expect(status).toMatchObject({
      configuration: { status: "success" },
      nodes: { status: "success", known: 1, mine: 1, loaded: time, written: time },
      upstream: { status: "success", details: "not asked yet", answered: null },
      outbox: { status: "success", waiting: 0, oldest: null },
      runs: { status: "success", active: 0, agents: 0, waiting: 0, overdue: 0, unkillable: 0 },
      storage: { status: "success" },
      certificates: { status: "success" }
    })
    expect(status.storage.folders.map(({ folder }: { folder: string }) => folder)).toEqual([
      "shared_files",
      "outbox",
      "runs"
    ])
  })

  it("names each thing that is wrong", async () => {
    const { relay } = await live("logfmt")
    writeNodes(relay.directory, "no JSON")
    rmSync(join(relay.directory, "runs"), { recursive: true })
    const status = await until("all of it is seen", async () => {
      const found = await statusOf(relay)
      return found.nodes.status === "error" ? found : undefined
    })
    expect(status.nodes.details).toMatch(/nodeslist\.json: .*the previous list stays in force/)
    expect(status.upstream).toMatchObject({ status: "error", details: expect.stringContaining("127.0.0.1") })
    expect(status.upstream.answered).toMatch(/^\d{4}-/)
    expect(status.outbox).toMatchObject({ waiting: 1, oldest: expect.stringMatching(/^\d{4}-/) })
    expect(status.storage).toMatchObject({ status: "error", details: expect.stringContaining("runs") })
  })

  it("says which certificates end soon, and where there is no room", async () => {
    const [me, above, other] = await Promise.all([
      makeIdentity("me"),
      makeIdentity("root"),
      makeIdentity("good")
    ])
    const relay = await start({
      nodes: { good: node("good") },
      config: {
        general: { node_id: "me", nodes_certs_file: other.certificate },
        tls: { certificate: me.certificate, key: me.key },
        shared_files: { min_free: "1000000GiB" },
        "output.upstream": { base_url: "https://127.0.0.1:9", server_certificate_file: above.certificate }
      }
    })
    const secure = { ...relay, url: relay.url.replace("http:", "https:") }
    const status = await statusOf(secure, "-k")
    expect(status.certificates.status).toBe("success")
    for (const what of [
      "tls.certificate ends",
      "the policy server's certificate ends",
      "1 of 1 certificates of nodes end within 30 days"
    ])
      expect(status.certificates.details).toContain(what)
    expect(status.storage).toMatchObject({ status: "error", details: expect.stringContaining("less than") })
  })

  it("tells of an error of the disk without the relay's paths", async () => {
    const c = await newSender("c")
    const relay = await start({
      nodes: { c: entryOf(c), good: { ...node("good"), "policy-server": "root" } }
    })
    mkdirSync(join(relay.directory, "shared-files/good"), { recursive: true })
    writeFileSync(join(relay.directory, "shared-files/good/files"), "in the way")
    const sharing = { from: c, target: "good", fileId: "motd", path: fileOf("hello\n") }
    const { status, body } = await share(relay, sharing, "-H", "X-Request-Id: disk")
    expect(status).toBe(500)
    expect(body).not.toContain(relay.directory)
    const lines = () => logfmtOf(relay).filter(isOfRequest("disk"))
    await until("its line", () => lines().length > 0)
    expect(lines()).toMatchObject([
      {
        level: "ERROR",
        message: "the disk failed a request",
        tag: "StorageError",
        status: "500",
        target: "good"
      }
    ])
    expect(lines()[0]?.error).toContain(relay.directory)
  })
})
