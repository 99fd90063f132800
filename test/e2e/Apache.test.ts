/** Behind Apache as Rudder sets it up: what today's callers do through it works unchanged. */
import { readFileSync, writeFileSync } from "node:fs"
import * as Http from "node:http"
import { join } from "node:path"
import { constants, createGunzip } from "node:zlib"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { type Apache, startApache, stopApaches } from "./support/Apache.ts"
import { type Identity, makeIdentity, removeIdentities } from "./support/Identities.ts"
import { logfmtOf } from "./support/LogLines.ts"
import { cleanUp, command, curl, events, prepare, type Relay, start } from "./support/Program.ts"
import {
  entryOf,
  fileOf,
  hashOf,
  headerOf,
  newSender,
  removeSenders,
  type Sender
} from "./support/Senders.ts"

let identity: Identity
let parent: Identity
let a: Sender

beforeAll(async () => {
  const [one, other, sender] = await Promise.all([
    makeIdentity("relay"),
    makeIdentity("root"),
    newSender("A")
  ])
  identity = one
  parent = other
  a = sender
})
afterAll(removeIdentities)
afterAll(removeSenders)
afterEach(async () => {
  await stopApaches()
  await cleanUp()
})

const list = () => ({
  A: entryOf(a, "relay"),
  B: { hostname: "b.example.com", "policy-server": "relay" }
})

const general = { node_id: "relay" }
const upstream = { "output.upstream": { host: "127.0.0.1" } }

/** The bytes of an answer, which need not be text. */
const bytesOf = async (...args: ReadonlyArray<string>): Promise<string> => {
  const file = fileOf("")
  await command("curl", ["-sS", "-k", "-o", file, ...args])
  return readFileSync(file).toString("latin1")
}

const form = (fields: Record<string, string>) =>
  Object.entries(fields).flatMap(([name, value]) => ["-d", `${name}=${value}`])

describe("today's callers", () => {
  const agent = `echo "run on $host with [$classes]"; printf '\\377 not UTF-8\\n'; echo warning >&2`
  const output = (host: string, classes = "") =>
    `run on ${host}.example.com with [${classes}]\n\xFF not UTF-8\n`
  let relay: Relay
  let apache: Apache

  const both = async () => {
    relay = await start({ nodes: list(), agent, config: { general, ...upstream } })
    apache = await startApache({ relay, identity })
  }
  const runs = async () => JSON.parse((await curl(`${relay.url}/remote-run/runs`)).body).runs

  it("run one node, and the webapp passes on what the agent printed", async () => {
    await both()
    const fields = form({ classes: "", keep_output: "true", asynchronous: "false" })
    expect(await bytesOf(...fields, `${apache.tlsUrl}/remote-run/nodes/A`)).toBe(output("a"))
    // Browsers and libraries take it packed.
    expect(await bytesOf("--compressed", ...fields, `${apache.tlsUrl}/remote-run/nodes/A`)).toBe(output("a"))
  })

  it("start all nodes, one by one, or up to a hundred at once, and wait for none", async () => {
    await both()
    const started = { keep_output: "false", asynchronous: "true" }
    for (const id of ["A", "B"])
      expect(await curl("-k", ...form(started), `${apache.tlsUrl}/remote-run/nodes/${id}`)).toEqual({
        status: 200,
        body: ""
      })
    const ids = ["A", "B", ...Array.from({ length: 98 }, (_, i) => `unknown-${i}`)]
    expect(
      await curl(...form({ ...started, nodes: ids.join(",") }), `${apache.url}/remote-run/nodes`)
    ).toEqual({
      status: 200,
      body: ""
    })
    await until("all three are over", async () => {
      const found: ReadonlyArray<{ readonly ok: number; readonly nodes: number }> = await runs()
      return found.length === 3 && found.every(({ ok, nodes }) => ok === nodes)
    })
    expect((await runs()).map(({ ok }: { readonly ok: number }) => ok)).toEqual([2, 1, 1])
  })

  it("are a parent relay that copies bytes", async () => {
    await both()
    const printed = output("a", "one,two") + output("b", "one,two")
    const fields = { classes: "one,two", keep_output: "true", asynchronous: "true" }
    for (const [route, more] of [
      ["all", {}],
      ["nodes", { nodes: "A,B" }]
    ] as const) {
      const bytes = await bytesOf(...form({ ...fields, ...more }), `${apache.tlsUrl}/remote-run/${route}`)
      expect(bytes.split("\n").sort()).toEqual(printed.split("\n").sort())
    }
  })

  it("are a parent relay of this kind, which pins the certificate that Apache shows", async () => {
    await both()
    const directory = prepare()
    const certificates = join(directory, "allnodescerts.pem")
    writeFileSync(certificates, identity.pem)
    const root = await start({
      directory,
      nodes: { relay: { hostname: "127.0.0.1", "policy-server": "root" }, ...list() },
      config: {
        general: { https_port: apache.tlsPort, nodes_certs_file: certificates },
        tls: { certificate: parent.certificate, key: parent.key }
      }
    })
    const { body } = await curl(
      "-k",
      `https://127.0.0.1:${root.port}/rudder/relay-api/remote-run/nodes?nodes=A,B&output=keep&async=yes`
    )
    const ends = events(body).filter(({ event }) => event === "end")
    expect(ends.map(({ node }) => node).sort()).toEqual(["A", "B"])
    for (const end of ends) expect(end).toMatchObject({ code: 0, stderr: "warning\n" })
    expect(body).toContain("A:run on a.example.com with []\n")
  })

  it("are an agent that asks for a file, sends it when it is not there, and is told when it may not", async () => {
    await both()
    const content = "a file\n".repeat(100_000)
    const path = fileOf(content)
    const tls = ["-k", "--tlsv1.3", "-sS", "-o", "/dev/null", "-w", "%{http_code}"]
    const octets = ["-H", "Content-Type: application/octet-stream", "-H", "Expect: 100-continue"]
    const status = async (...args: ReadonlyArray<string>) =>
      Number((await command("curl", [...tls, ...args])).stdout)
    const url = `${apache.tlsUrl}/shared-files/B/A/file`
    const hash = await hashOf(path, "sha256")
    const ask = () => status("-I", `${url}?hash=${hash}`)
    expect(await ask()).toBe(404)
    const right = fileOf((await headerOf(a, path, "sha256")) + content)
    const wrong = fileOf((await headerOf(a, path, "sha256", { digest: "00".repeat(256) })) + content)
    expect(await status("-T", wrong, ...octets, `${url}?ttl=1day+2hours`)).toBe(403)
    // A refusal that comes before the body has been read is not lost on the way, either.
    const strange = url.replace("/B/A/", "/B/stranger/")
    expect(await status("-T", right, ...octets, `${strange}?ttl=1day+2hours`)).toBe(403)
    expect(await status("-T", right, "-H", "Expect:", `${strange}?ttl=1day+2hours`)).toBe(403)
    expect(await ask()).toBe(404)
    expect(await status("-T", right, ...octets, `${url}?ttl=1day+2hours`)).toBe(200)
    expect(await ask()).toBe(200)
    const stored = join(relay.directory, "shared-files", "B", "files", "A", "file")
    expect(readFileSync(stored, "utf8")).toBe(content)
  })
})

/** What a request gets, as it comes. */
interface Live {
  readonly text: () => string
  readonly encoding: string | undefined
  /** Whether it ended as it should; false: it was cut. */
  readonly ended: Promise<boolean>
}

const read = (url: string, headers: Record<string, string> = {}, body?: string): Promise<Live> =>
  new Promise((resolve, reject) => {
    const request = Http.request(
      url,
      { headers, method: body === undefined ? "GET" : "POST" },
      (response) => {
        const encoding = response.headers["content-encoding"]
        const flush = constants.Z_SYNC_FLUSH
        const stream = encoding === "gzip" ? response.pipe(createGunzip({ flush })) : response
        let text = ""
        stream.on("data", (bytes) => {
          text += bytes
        })
        stream.on("error", () => {})
        const ended = new Promise<boolean>((settled) => {
          stream.once("end", () => settled(true))
          // What has all come may still be unpacked.
          response.once("close", () => {
            if (!response.complete) settled(false)
          })
        })
        resolve({ text: () => text, encoding, ended })
      }
    )
    request.on("error", reject)
    request.end(body)
  })

const formType = { "content-type": "application/x-www-form-urlencoded" }

/** Prints a line, waits for a file beside it that is called as the class, and prints another. */
const waiting =
  'cd "$(dirname "$0")"; echo first; while [ ! -e "$classes" ]; do sleep 0.05; done; echo second'

describe("a line", () => {
  it.each([
    ["text", "identity"],
    ["text", "gzip"],
    ["ndjson", "gzip"],
    ["raw", "gzip"]
  ])("in %s is there before the next one is printed, with Accept-Encoding: %s", async (format, accepted) => {
    const relay = await start({ nodes: list(), agent: waiting, config: { general, ...upstream } })
    const apache = await startApache({ relay, identity })
    const live = await read(
      `${apache.url}/remote-run/nodes?nodes=A,B&output=keep&async=yes&classes=go&format=${format}`,
      { "accept-encoding": accepted }
    )
    await until("both nodes' first lines are seen", () => live.text().match(/first/g)?.length === 2)
    expect(live.text()).not.toContain("second")
    expect(live.encoding).toBe(accepted === "gzip" ? "gzip" : undefined)
    writeFileSync(join(relay.directory, "go"), "")
    expect(await live.ended).toBe(true)
    expect(live.text().match(/second/g)).toHaveLength(2)
  })

  it("of a single node is there at once where a parent relay asks in the older form", async () => {
    const relay = await start({ nodes: list(), agent: waiting, config: { general, ...upstream } })
    const apache = await startApache({ relay, identity })
    const body = "nodes=A&classes=go&keep_output=true&asynchronous=true"
    const live = await read(`${apache.url}/remote-run/nodes`, formType, body)
    await until("the first line is seen", () => live.text() === "first\n")
    writeFileSync(join(relay.directory, "go"), "")
    expect(await live.ended).toBe(true)
    expect(live.text()).toBe("first\nsecond\n")
  })
})

describe("an agent that is silent for longer than ProxyTimeout", () => {
  it("keeps its connection where pings are; without them Apache cuts it, and the run goes on", async () => {
    const relay = await start({ nodes: list(), agent: waiting, config: { general, ...upstream } })
    const apache = await startApache({ relay, identity, timeout: 16 })
    const pinged = await Promise.all(
      ["text", "ndjson"].map((format) =>
        read(`${apache.url}/remote-run/node/A?output=keep&async=yes&classes=go&format=${format}`)
      )
    )
    for (const live of pinged) await until("its line is seen", () => live.text().includes("first"))
    const older = await read(
      `${apache.url}/remote-run/nodes`,
      formType,
      "nodes=B&classes=go&keep_output=true&asynchronous=true"
    )
    await until("its line is seen", () => older.text() === "first\n")
    // Younger than the others, it is the last one to be cut for its silence.
    expect(await older.ended).toBe(false)
    for (const live of pinged) expect(live.text()).toContain('{"event":"ping"}\n')
    writeFileSync(join(relay.directory, "go"), "")
    for (const live of pinged) {
      expect(await live.ended).toBe(true)
      expect(events(live.text()).at(-1)).toMatchObject({ event: "done", ok: 1, failed: 0 })
      expect(live.text()).toContain("second")
    }
    const run = await until("the run that nobody sees is over", async () => {
      const [last] = JSON.parse((await curl(`${relay.url}/remote-run/runs?limit=1`)).body).runs
      return last.running === 0 ? last : undefined
    })
    expect(run).toMatchObject({ ok: 1, failed: 0 })
    const replay = await curl(`${relay.url}/remote-run/runs/${run.id}/output?format=raw`)
    expect(replay.body).toBe("first\nsecond\n")
  })
})

describe("the rules of who may call", () => {
  it("look at the client that Apache names, and at nobody whom that client names", async () => {
    const relay = await start({
      nodes: list(),
      config: {
        general,
        ...upstream,
        access: { policy_server: ["127.0.0.2"], admin: ["127.0.0.3"], trusted_proxies: ["127.0.0.1"] }
      }
    })
    const apache = await startApache({ relay, identity, remoteRunFrom: "127.0.0.0/29" })
    const from = async (address: string, path: string, ...options: ReadonlyArray<string>) => {
      const { status, body } = await curl("--interface", address, ...options, `${apache.url}/${path}`)
      return { status, denied: body.includes('"AccessDenied"') }
    }
    const run = "remote-run/node/A"
    const denied = { status: 403, denied: true }
    expect(await from("127.0.0.2", run)).toEqual({ status: 200, denied: false })
    expect(await from("127.0.0.3", run)).toEqual(denied)
    expect(await from("127.0.0.3", run, "-H", "X-Forwarded-For: 127.0.0.2")).toEqual(denied)
    await expect
      .poll(() => logfmtOf(relay).filter(({ tag }) => tag === "AccessDenied"))
      .toMatchObject([
        { key: "access.policy_server", address: "127.0.0.3", request: expect.stringMatching(/\S/) }
      ])
    expect(await from("127.0.0.3", "system/info")).toEqual({ status: 200, denied: false })
    expect(await from("127.0.0.2", "system/info")).toEqual(denied)
    // Apache's own rule comes first.
    expect(await from("127.0.0.9", run)).toEqual({ status: 403, denied: false })
    expect(relay.log()).not.toContain("127.0.0.9")
    // Whoever shares files may come from anywhere.
    expect((await from("127.0.0.9", "shared-files/B/A/x?hash=00", "-I")).status).toBe(404)
  })
})
