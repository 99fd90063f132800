/** Today's callers of runs and system routes, replayed with curl: the annex of the contract. */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { cleanUp, command, curl, events, type Relay, start, writeNodes } from "./support/Program.ts"

let relay: Relay

const list = {
  root: { hostname: "server.example.com", "policy-server": "root" },
  A: { hostname: "a.example.com", "policy-server": "root" },
  B: { hostname: "b.example.com", "policy-server": "root" }
}

beforeAll(async () => {
  relay = await start({
    nodes: list,
    agent: `echo "run on $host with [$classes]"; printf '\\377 not UTF-8\\n'; echo warning >&2; echo again > /dev/stdout`
  })
})
afterAll(cleanUp)

const output = (host: string, classes = "") => `run on ${host} with [${classes}]\n\xFF not UTF-8\nagain\n`

describe("the webapp", () => {
  it("runs one node and passes the bytes on", async () => {
    const { stdout } = await command("curl", [
      "-sSN",
      "-i",
      "-d",
      "classes=",
      "-d",
      "keep_output=true",
      "-d",
      "asynchronous=false",
      `${relay.url}/remote-run/nodes/A`
    ])
    expect(stdout).toMatch(/^HTTP\/1.1 200 OK/)
    expect(stdout.toLowerCase()).toContain("cache-control: no-store")
    expect(stdout.toLowerCase()).toContain("x-accel-buffering: no")
  })

  it("gets exactly what the agent printed", async () => {
    const response = await fetch(`${relay.url}/remote-run/nodes/A`, {
      method: "POST",
      body: new URLSearchParams({ classes: "cfengine_a,b2", keep_output: "true", asynchronous: "false" })
    })
    expect(Buffer.from(await response.arrayBuffer()).toString("latin1")).toBe(
      output("a.example.com", "cfengine_a,b2")
    )
  })

  it("starts all nodes, one by one: any 2xx is started", async () => {
    for (const id of ["A", "B"]) {
      const { status, body } = await curl(
        "-d",
        "keep_output=false",
        "-d",
        "asynchronous=true",
        `${relay.url}/remote-run/nodes/${id}`
      )
      expect(status).toBe(200)
      expect(body).toBe("")
    }
  })

  it("gets an empty 200 for a node that is not there", async () => {
    const { status, body } = await curl("-d", "keep_output=true", `${relay.url}/1/remote-run/nodes/nobody`)
    expect({ status, body }).toEqual({ status: 200, body: "" })
  })
})

describe("the policy-generation hook", () => {
  it("starts up to 100 nodes at once and waits for none", async () => {
    const ids = Array.from({ length: 98 }, (_, i) => `unknown-${i}`)
    const { status, body } = await curl(
      "-d",
      "asynchronous=true",
      "-d",
      "keep_output=false",
      "-d",
      `nodes=A,B,${ids.join(",")}`,
      `${relay.url}/remote-run/nodes`
    )
    expect({ status, body }).toEqual({ status: 200, body: "" })
    const run = await until("the run is over", async () => {
      const { runs } = JSON.parse((await curl(`${relay.url}/remote-run/runs?limit=1`)).body)
      return runs[0].nodes === 2 && runs[0].ok === 2 ? runs[0] : undefined
    })
    expect(run.output).toBe("discard")
  })
})

describe("a parent relay", () => {
  it.each(["all", "nodes"])("copies the bytes of remote-run/%s", async (route) => {
    const form = new URLSearchParams({ classes: "", keep_output: "true", asynchronous: "true" })
    if (route === "nodes") form.set("nodes", "root,A,B")
    const response = await fetch(`${relay.url}/remote-run/${route}`, { method: "POST", body: form })
    expect(response.status).toBe(200)
    const bytes = Buffer.from(await response.arrayBuffer()).toString("latin1")
    const printed = ["server", "a", "b"].map((host) => output(`${host}.example.com`)).join("")
    expect(bytes.split("\n").sort()).toEqual(printed.split("\n").sort())
  })

  it("of this kind asks for ndjson and gets events", async () => {
    const { body } = await curl(
      "-H",
      "Accept: application/x-ndjson",
      "-d",
      "keep_output=true",
      "-d",
      "asynchronous=true",
      "-d",
      "nodes=A,B",
      `${relay.url}/remote-run/nodes`
    )
    const all = events(body)
    expect(
      all
        .filter(({ event }) => event === "end")
        .map(({ node }) => node)
        .sort()
    ).toEqual(["A", "B"])
    const bad = all.find(({ base64 }) => base64 !== undefined)
    expect(Buffer.from(String(bad?.base64), "base64").toString("latin1")).toBe("\xFF not UTF-8")
    expect(bad?.line).toBe("\uFFFD not UTF-8")
  })
})

describe("rudder relay reload", () => {
  it("gets exactly the answer it compares with, and the list is loaded", async () => {
    writeNodes(relay.directory, { ...list, C: { hostname: "c.example.com", "policy-server": "root" } })
    const { status, body } = await curl("-X", "POST", `${relay.url}/1/system/reload`)
    expect({ status, body }).toEqual({
      status: 200,
      body: '{"result":"success","action":"reloadConfiguration"}'
    })
    expect((await curl("-d", "keep_output=true", `${relay.url}/1/remote-run/nodes/C`)).body).toContain(
      "c.example.com"
    )
  })

  it("is told what did not load", async () => {
    writeNodes(relay.directory, "{ not json")
    const { status, body } = await curl("-X", "POST", `${relay.url}/1/system/reload`)
    expect(status).toBe(500)
    expect(body).toMatch(
      /^\{"result":"error","action":"reloadConfiguration","errorDetails":".*previous list stays in force"\}$/
    )
    expect((await curl("-d", "keep_output=true", `${relay.url}/1/remote-run/nodes/A`)).body).toContain(
      "a.example.com"
    )
    expect((await curl(`${relay.url}/1/system/status`)).body).toContain('"nodes":{"status":"error"')
    writeNodes(relay.directory, list)
    await until("the list is well again", async () =>
      (await curl(`${relay.url}/1/system/status`)).body.includes('"nodes":{"status":"success"')
        ? true
        : undefined
    )
  })
})

describe("system routes", () => {
  it.each(["", "/1"])("tell of the relay under %s/", async (base) => {
    expect((await curl(`${relay.url}${base}/system/info`)).body).toMatch(
      /^\{"data":\{"major-version":"\d+\.\d+","full-version":"\d+\.\d+\.\d+"\},"result":"success","action":"getSystemInfo"\}$/
    )
    expect((await curl(`${relay.url}${base}/system/status`)).body).toMatch(
      /^\{"data":\{"configuration":\{"status":"success"\},.*\},"result":"success","action":"getStatus"\}$/
    )
  })
})

describe("Apache in front", () => {
  it("calls under /1/ and forwards the client's address, which the rules look at", async () => {
    const path = `${relay.origin}/rudder/relay-api/1/remote-run/nodes/A`
    const form = ["-d", "keep_output=true"]
    expect((await curl("-H", "X-Forwarded-For: 192.0.2.7", ...form, path)).status).toBe(403)
    expect((await curl("-H", "X-Forwarded-For: 192.0.2.7, 127.0.0.1", ...form, path)).status).toBe(403)
    expect((await curl("-H", "X-Forwarded-For: 127.0.0.1", ...form, path)).status).toBe(200)
    expect((await curl("-H", "X-Forwarded-For: nonsense", ...form, path)).status).toBe(403)
    await expect.poll(() => relay.log()).toContain("access.policy_server")
  })
})
