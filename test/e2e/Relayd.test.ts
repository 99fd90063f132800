/**
 * What Rudder's own relay daemon does, asked of this one by the requests that its callers and its configuration make.
 * Answered as there, but for 403 where that one says 500 to a wrong signature.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { type Identity, makeIdentity, removeIdentities } from "./support/Identities.ts"
import {
  cleanUp,
  command,
  curl,
  type NodeEntry,
  prepare,
  program,
  type Relay,
  start
} from "./support/Program.ts"
import {
  entryOf,
  fileOf,
  hashOf,
  headerOf,
  newSender,
  removeSenders,
  type Sender
} from "./support/Senders.ts"
import { fieldsOf } from "./support/Sharing.ts"
import { type SubRelay, startSubRelay, stopSubRelays } from "./support/SubRelay.ts"

const source = "e745a140-40bc-4b86-b6dc-084488fc906b"
const subRelay = "37817c4d-fbf7-4850-a985-50021f4e8f41"
const behind = "c745a140-40bc-4b86-b6dc-084488fc906b"

let sender: Sender
let stranger: Sender
let keyless: Sender

beforeAll(async () => {
  sender = await newSender(source)
  stranger = await newSender("stranger")
  keyless = await newSender("keyless")
})
afterAll(removeSenders)

const own = (hostname: string): NodeEntry => ({ hostname, "policy-server": "root" })

const tree = (): Record<string, NodeEntry> => ({
  root: own("server.rudder.local"),
  [source]: { ...entryOf(sender), hostname: "node1.rudder.local" },
  [subRelay]: own("127.0.0.1"),
  [behind]: { hostname: "node5.rudder.local", "policy-server": subRelay },
  keyless: own("node6.rudder.local")
})

describe("a shared file of an agent", () => {
  let relay: Relay
  const content = "what an agent shares\n"
  const place = (fileId: string) => join(relay.directory, "shared-files", subRelay, "files", source, fileId)
  const url = (fileId: string, query = "", from = source) =>
    `${relay.url}/1/shared-files/${subRelay}/${from}/${fileId}${query}`
  const ask = async (fileId: string, query: string, from?: string) =>
    (await curl("-I", "-o", "/dev/null", url(fileId, query, from))).status

  /** Sends it as agents do. */
  const put = async (
    fileId: string,
    given: {
      readonly lines?: Record<string, string | null>
      readonly sent?: string
      readonly query?: string
      readonly by?: Sender
      readonly from?: string
      readonly algorithm?: "sha256" | "sha512"
    } = {}
  ) => {
    const { lines = {}, sent = content, query = "?ttl=1d", by = sender, from, algorithm } = given
    const header = await headerOf(by, fileOf(content), algorithm, lines)
    return curl(
      ...["-X", "PUT", "-H", "Content-Type: application/octet-stream"],
      ...["--data-binary", `@${fileOf(`${header}${sent}`)}`, url(fileId, query, from)]
    )
  }

  beforeAll(async () => {
    relay = await start({ nodes: tree() })
  })
  afterAll(cleanUp)

  it("is stored with what was sent with it, and expires when its ttl has passed", async () => {
    const before = Math.floor(Date.now() / 1000)
    expect((await put("file2")).status).toBe(200)
    expect(readFileSync(place("file2"), "utf8")).toBe(content)
    const fields = fieldsOf(place("file2"))
    expect(fields).toMatchObject({
      header: "rudder-signature-v1",
      algorithm: "sha512",
      digest: (await sender.sign(fileOf(content))).toString("hex"),
      hash_value: await hashOf(fileOf(content)),
      short_pubkey: Buffer.from(sender.publicKey, "base64url").toString("base64"),
      hostname: "node1.rudder.local"
    })
    expect(fields).toHaveProperty("keydate")
    expect(fields.keyid).toMatch(/^[0-9A-Fa-f]{8}$/)
    const expires = Number(fields.expires)
    expect(expires - before).toBeGreaterThanOrEqual(86_400)
    expect(expires - before).toBeLessThan(86_400 + 500)
  })

  it("is there by its hash, and by no other: another, a malformed one and none are 404", async () => {
    const file = fileOf(content)
    expect((await put("asked")).status).toBe(200)
    const hash = await hashOf(file)
    const last = hash.endsWith("0") ? "1" : "0"
    expect(await ask("asked", `?hash=${hash}`)).toBe(200)
    expect(await ask("asked", `?hash=${await hashOf(file, "sha256")}`)).toBe(200)
    for (const wrong of [
      hash.slice(0, -1) + last,
      "0xcafecafecafe",
      hash.slice(1),
      "",
      "%00",
      "zz".repeat(64)
    ])
      expect([wrong, await ask("asked", `?hash=${wrong}`)]).toEqual([wrong, 404])
    expect(await ask("asked", "")).toBe(404)
    expect(await ask("absent", `?hash=${hash}`)).toBe(404)
    expect(await ask("asked", `?hash=${hash}`, "keyless")).toBe(404)
  })

  it.each([
    ["another content", { sent: "test" }],
    ["a digest of nothing", { lines: { digest: "00".repeat(256) } }],
    ["the digest of another key", { by: () => stranger }],
    ["a hash that is not the content's", { lines: { hash_value: "ab".repeat(64) } }]
  ])("with %s is refused with 403", async (_, { by, ...given }: Given) => {
    const { status, body } = await put("refused", { ...given, ...(by === undefined ? {} : { by: by() }) })
    expect(status).toBe(403)
    expect(JSON.parse(body)).toMatchObject({ _tag: "BadSignature" })
    expect(await ask("refused", `?hash=${await hashOf(fileOf(content))}`)).toBe(404)
  })

  it("of a source that has no key here, or that nobody knows, is refused with 403", async () => {
    expect((await put("refused", { from: "keyless", by: keyless })).status).toBe(403)
    expect((await put("refused", { from: "nobody", by: stranger })).status).toBe(403)
  })

  it.each(["header", "algorithm", "digest", "hash_value", "short_pubkey"])(
    "without %s in its header is refused with 400",
    async (name) => {
      expect((await put("refused", { lines: { [name]: null } })).status).toBe(400)
    }
  )

  it("may lack the fields that say who and when, and have some that nobody knows", async () => {
    const lines = { hostname: null, keydate: null, keyid: null, colour: "red" }
    expect((await put("short", { lines })).status).toBe(200)
    expect((await put("short256", { algorithm: "sha256" })).status).toBe(200)
    const fields = fieldsOf(place("short"))
    for (const name of ["hostname", "keydate", "keyid"]) expect(fields).toHaveProperty(name)
  })

  it.each([
    ["1d", 86_400],
    ["1day+2hours", 93_600],
    ["1day%202hours", 93_600],
    ["1day2hours3minutes", 93_780],
    ["3600", 3600],
    ["36500d", 36_500 * 86_400],
    ["1year", 31_557_600],
    ["1y", 31_557_600],
    ["1month", 2_630_016],
    ["1M", 2_630_016],
    ["2weeks", 1_209_600],
    ["5min", 300],
    ["5m", 300],
    ["90sec", 90],
    ["1h+1h", 7200],
    ["60500ms", 60],
    ["120000000us", 120],
    ["120000000000ns", 120]
  ])("with ttl=%s expires in %i s", async (ttl, seconds) => {
    const before = Date.now() / 1000
    expect((await put("ttl", { query: `?ttl=${ttl}` })).status).toBe(200)
    const expires = Number(fieldsOf(place("ttl")).expires)
    expect(expires - before).toBeGreaterThanOrEqual(seconds - 1)
    expect(expires - before).toBeLessThan(seconds + 60)
  })

  it.each(["", "?ttl="])("with %j expires never", async (query) => {
    expect((await put("ever", { query })).status).toBe(200)
    expect(fieldsOf(place("ever")).expires ?? "").toBe("")
  })

  it.each([String(2n ** 64n - 1n), "not-a-duration", "-1d", "1.5d", "d", "1dd", "1d%00"])(
    "with ttl=%s is refused",
    async (ttl) => {
      expect((await put("ttl", { query: `?ttl=${ttl}` })).status).toBe(400)
    }
  )

  it("that is announced as too large is refused before any of it is read", async () => {
    const small = await start({ nodes: tree(), config: { shared_files: { max_body_size: "1KiB" } } })
    const { stdout } = await command("curl", [
      ...["-sS", "-m", "20", "-o", "/dev/null", "-w", "%{http_code} %{size_upload}"],
      ...["-X", "PUT", "-H", "Expect: 100-continue", "-T", fileOf("x".repeat(1_000_000))],
      `${small.url}/1/shared-files/${subRelay}/${source}/large`
    ])
    expect(stdout).toBe("413 0")
  })
})

interface Given {
  readonly sent?: string
  readonly lines?: Record<string, string>
  readonly by?: () => Sender
}

describe("the shared folder", () => {
  let relay: Relay
  let url: string
  let hash: string
  beforeAll(async () => {
    const directory = prepare()
    const folder = join(directory, "shared-folder")
    mkdirSync(join(folder, behind), { recursive: true })
    for (const name of ["file", "file with space"]) writeFileSync(join(folder, behind, name), "123\n")
    writeFileSync(join(directory, "secret"), "secret")
    hash = await hashOf(fileOf("123\n"), "sha256")
    relay = await start({ directory, nodes: tree(), config: { shared_folder: { path: folder } } })
    url = `${relay.url}/1/shared-folder`
  })
  afterAll(cleanUp)
  const ask = async (path: string) =>
    (await curl("--path-as-is", "-I", "-o", "/dev/null", `${url}/${path}`)).status

  it("has a file: 304 for its hash, 200 for another or an empty one, 404 for one that is not there", async () => {
    expect(await ask(`${behind}/file?hash_type=sha256&hash=${hash}`)).toBe(304)
    expect(await ask(`${behind}/file?hash=${hash}`)).toBe(304)
    expect(await ask(`${behind}/file?hash_type=sha512&hash=${await hashOf(fileOf("123\n"))}`)).toBe(304)
    expect(await ask(`${behind}/file%20with%20space?hash_type=sha256&hash=${hash}`)).toBe(304)
    expect(await ask(`${behind}/file?hash_type=sha256&hash=${"ab".repeat(32)}`)).toBe(200)
    expect(await ask(`${behind}/file?hash_type=sha256&hash=`)).toBe(200)
    expect(await ask(`${behind}/file`)).toBe(200)
    expect(await ask(`wrong-node/file?hash_type=sha256&hash=${hash}`)).toBe(404)
  })

  it("answers 400 to a hash that is none of its type, and to a type that is none", async () => {
    expect(await ask(`${behind}/file?hash_type=sha256&hash=test`)).toBe(400)
    expect(await ask(`${behind}/file?hash=${"ab".repeat(64)}`)).toBe(400)
    expect(await ask(`${behind}/file?hash_type=wrong-hash-type&hash=${hash}`)).toBe(400)
  })

  it("gives the file, and nothing outside", async () => {
    expect(await curl(`${url}/${behind}/file`)).toEqual({ status: 200, body: "123\n" })
    expect((await curl(`${url}/${behind}/doesnotexist`)).status).toBe(404)
    for (const path of [
      "../secret",
      "%2e%2e/secret",
      "..%2fsecret",
      `${behind}/../../secret`,
      "/etc/passwd"
    ]) {
      const { status, body } = await curl("--path-as-is", `${url}/${path}`)
      expect([400, 404]).toContain(status)
      expect(body).not.toContain("secret\n")
      expect([400, 404]).toContain(await ask(path))
    }
  })
})

describe("a remote run in the v1 dialect", () => {
  let relay: Relay
  let sub: SubRelay
  let identities: Record<"right" | "wrong", Identity>
  const called = () => join(relay.directory, "called")
  const base = () => `${relay.url}/1/remote-run`

  beforeAll(async () => {
    const [right, wrong] = await Promise.all([makeIdentity(subRelay), makeIdentity(subRelay)])
    if (right === undefined || wrong === undefined) throw new Error("no identities")
    identities = { right, wrong }
    sub = await startSubRelay(right, () => ({ status: 200, body: "REMOTE\n" }))
    const directory = prepare()
    const certificates = join(directory, "allnodescerts.pem")
    writeFileSync(certificates, right.pem)
    relay = await start({
      directory,
      nodes: tree(),
      // What it is called with goes into a file that is whole when it is there.
      agent: `where=$(dirname "$0"); printf '%s [%s]\\n' "$host" "$classes" >> "$where/called"; echo OK; sleep 0.2; echo END`,
      config: { general: { nodes_certs_file: certificates, https_port: sub.port } }
    })
  })
  afterAll(async () => {
    await cleanUp()
    stopSubRelays()
    removeIdentities()
  })
  afterEach(() => rmSync(called(), { force: true }))

  const run = (route: string, form: Record<string, string>) =>
    curl(...Object.entries(form).flatMap(([name, value]) => ["-d", `${name}=${value}`]), `${base()}/${route}`)
  const callsWere = (...lines: ReadonlyArray<string>) =>
    until(
      "the agents were called",
      () => {
        try {
          return (
            readFileSync(called(), "utf8").trimEnd().split("\n").sort().join() === [...lines].sort().join()
          )
        } catch {
          return false
        }
      },
      10
    )

  it.each([
    ["true", "true", "OK\nEND\n"],
    ["false", "true", "OK\nEND\n"],
    ["false", "false", ""],
    ["true", "false", ""],
    ["True", "TRUE", "OK\nEND\n"]
  ])("with asynchronous=%s and keep_output=%s is answered %j", async (asynchronous, keep, answer) => {
    const form = { asynchronous, keep_output: keep, classes: "class2,class3" }
    expect(await run("nodes", { ...form, nodes: "root" })).toEqual({ status: 200, body: answer })
    await callsWere("server.rudder.local [class2,class3]")
    rmSync(called(), { force: true })
    expect(await run(`nodes/${source}`, form)).toEqual({ status: 200, body: answer })
    await callsWere("node1.rudder.local [class2,class3]")
  })

  it("takes conditions as classes, before classes, and neither as none", async () => {
    const form = { asynchronous: "false", keep_output: "true", nodes: "root" }
    expect((await run("nodes", { ...form, conditions: "one,two" })).body).toBe("OK\nEND\n")
    await callsWere("server.rudder.local [one,two]")
    rmSync(called())
    for (const classes of ["other", ""]) {
      expect((await run("nodes", { ...form, conditions: "one", classes })).status).toBe(200)
      await callsWere("server.rudder.local [one]")
      rmSync(called())
    }
    expect((await run("nodes", { ...form, classes: "" })).status).toBe(200)
    await callsWere("server.rudder.local []")
  })

  it("goes to two nodes, and passes those over that nobody knows", async () => {
    const form = { asynchronous: "false", keep_output: "true", classes: "c" }
    const { status, body } = await run("nodes", { ...form, nodes: `root,${source},nobody` })
    expect({ status, body }).toEqual({ status: 200, body: "OK\nEND\nOK\nEND\n" })
    await callsWere("server.rudder.local [c]", "node1.rudder.local [c]")
    expect(await run("nodes", { ...form, nodes: "nobody" })).toEqual({ status: 200, body: "" })
    expect(await run("nodes/nobody", form)).toEqual({ status: 200, body: "" })
  })

  it("hands what is behind a sub-relay to it in one call, and passes its bytes on", async () => {
    const before = sub.requests.length
    const form = { asynchronous: "false", keep_output: "true", classes: "class2,class5" }
    const { status, body } = await run("nodes", { ...form, nodes: `root,${behind}` })
    expect(status).toBe(200)
    expect(body.split("\n").sort()).toEqual(["", "END", "OK", "REMOTE"])
    const [request, ...more] = sub.requests.slice(before)
    expect(more).toEqual([])
    expect(request?.line).toMatch(/^POST \/rudder\/relay-api\/(1\/)?remote-run\/nodes HTTP\/1\.1$/)
    expect(Object.fromEntries(new URLSearchParams(request?.body))).toMatchObject({
      asynchronous: "true",
      keep_output: "true",
      classes: "class2,class5",
      nodes: behind
    })
  })

  it("sends nothing to a sub-relay that shows another certificate; the other nodes run", async () => {
    sub.become(identities.wrong)
    const before = sub.requests.length
    const form = { asynchronous: "false", keep_output: "true", classes: "c" }
    const { status, body } = await run("nodes", { ...form, nodes: `root,${behind}` })
    sub.become(identities.right)
    expect({ status, body }).toEqual({ status: 200, body: "OK\nEND\n" })
    expect(sub.requests.length).toBe(before)
  })

  it("goes to all, root and what is behind sub-relays included", async () => {
    const before = sub.requests.length
    const { status, body } = await run("all", { asynchronous: "false", keep_output: "true", classes: "c" })
    expect(status).toBe(200)
    // Four are root's own: itself, the source, the sub-relay and the one without a key.
    expect(body.split("\n").filter((line) => line === "END").length).toBe(4)
    expect(body).toContain("REMOTE\n")
    expect(sub.requests.length).toBe(before + 1)
  })

  it.each(["clas~1", "class~1,class2", "-a", "a b", "a;b", `a${"b".repeat(1024)}`])(
    "does not run with the condition %j",
    async (classes) => {
      for (const name of ["classes", "conditions"]) {
        const form = { asynchronous: "false", keep_output: "true", nodes: "root" }
        const { status, body } = await run("nodes", { ...form, [name]: encodeURIComponent(classes) })
        expect(status).toBe(400)
        expect(JSON.parse(body)).toMatchObject({ _tag: "InvalidRequest" })
      }
      expect(() => readFileSync(called())).toThrow()
    }
  )

  it("does not run when a parameter is said under two names, or is none", async () => {
    for (const form of [
      { keep_output: "true", output: "discard" },
      { asynchronous: "true", async: "no" },
      { keep_output: "maybe" }
    ])
      expect((await run("all", form)).status).toBe(400)
    expect((await run("nodes", { asynchronous: "true" })).status).toBe(400)
    expect(() => readFileSync(called())).toThrow()
  })

  it("an agent that hangs is ended at its time-out, and its caller is answered", async () => {
    const hanging = await start({
      nodes: tree(),
      agent: "echo OK; exec sleep 1000",
      config: { remote_run: { timeout: "300ms", kill_grace: "200ms" } }
    })
    const { status, body } = await curl(
      "-m",
      "20",
      "-d",
      "keep_output=true",
      `${hanging.url}/1/remote-run/nodes/root`
    )
    expect({ status, body }).toEqual({ status: 200, body: "OK\n" })
    expect(await hanging.stop()).toBe(0)
  })
})

describe("system", () => {
  afterEach(cleanUp)

  it("tells its version, its status, and that it loaded again, each in one line", async () => {
    const relay = await start({ nodes: tree() })
    const system = `${relay.url}/1/system`
    expect(await curl(`${system}/info`)).toMatchObject({
      status: 200,
      body: expect.stringMatching(
        /^\{"data":\{"major-version":"(\d+\.\d+)","full-version":"\1\.\d+"\},"result":"success","action":"getSystemInfo"\}$/
      )
    })
    const reload = await curl("-X", "POST", `${system}/reload`)
    expect(reload).toEqual({ status: 200, body: '{"result":"success","action":"reloadConfiguration"}' })
    const { status, body } = await curl(`${system}/status`)
    expect(status).toBe(200)
    expect(body).toMatch(/^\{"data":\{.*\},"result":"success","action":"getStatus"\}$/)
    expect(JSON.parse(body).data.configuration).toEqual({ status: "success" })
  })

  it("says of a configuration that is gone that it is, and goes on", async () => {
    const relay = await start({ nodes: tree() })
    const conf = join(relay.directory, "main.conf")
    renameSync(conf, `${conf}.away`)
    const broken = await curl("-X", "POST", `${relay.url}/1/system/reload`)
    expect(broken.status).toBe(500)
    expect(JSON.parse(broken.body)).toMatchObject({
      result: "error",
      action: "reloadConfiguration",
      errorDetails: expect.stringContaining("main.conf")
    })
    const { body } = await curl(`${relay.url}/1/system/status`)
    expect(JSON.parse(body)).toMatchObject({
      data: { configuration: { status: "error", details: expect.stringContaining("main.conf") } },
      action: "getStatus"
    })
    renameSync(`${conf}.away`, conf)
    expect((await curl("-X", "POST", `${relay.url}/1/system/reload`)).status).toBe(200)
    const again = await curl(`${relay.url}/1/system/status`)
    expect(JSON.parse(again.body).data.configuration).toEqual({ status: "success" })
  })
})

describe("the files of a relay that is deployed", () => {
  afterEach(cleanUp)

  /** All keys that relayd has, with the folders of a test. */
  const deployed =
    (more = "") =>
    (directory: string) =>
      `
[general]
nodes_list_file = "nodeslist.json"
nodes_certs_file = "nodescerts.pem"
node_id_file = "uuid.hive"
listen = "127.0.0.1:0"
core_threads = 4
blocking_threads = 512
peer_authentication = "cert_pinning"
ca_path = "ca.pem"
https_port = 4443
https_idle_timeout = "42s"

[processing.inventory]
directory = "inventories/"
output = "disabled"
[processing.inventory.catchup]
frequency = 10
limit = 50
[processing.inventory.cleanup]
frequency = "10s"
retention = "10s"

[processing.reporting]
directory = "reporting/"
output = "disabled"
skip_event_types = []
[processing.reporting.catchup]
frequency = "10s"
limit = 50
[processing.reporting.cleanup]
frequency = "30s"
retention = "30min 20s"

[output.database]
url = "postgres://rudder@127.0.0.1/rudder"
password = "PASSWORD"
max_pool_size = 5

[output.upstream]
host = "rudder.example.com"
user = "rudder"
password = "password"
default_password = "rudder"
verify_certificates = true
server_certificate_file = "policy_server.pem"

[remote_run]
command = "agent"
use_sudo = false
directory = "${directory}/runs"

[shared_files]
path = "shared-files"
outbox = "outbox"
[shared_files.cleanup]
frequency = "43s"

[shared_folder]
path = "shared-folder"
${more}`

  /** Starts the program in its folder, where all the files of such a configuration are. */
  const startDeployed = (more = "") => {
    const directory = mkdtempSync(join(tmpdir(), "rudder-relay-e2e-"))
    writeFileSync(join(directory, "uuid.hive"), "root\n")
    writeFileSync(join(directory, "nodescerts.pem"), "")
    mkdirSync(join(directory, "shared-folder"))
    writeFileSync(join(directory, "shared-folder/motd"), "hello\n")
    // Without a slash the command is looked up in PATH.
    const env = { PATH: `${directory}:${process.env.PATH}` }
    return start({ directory, nodes: tree(), cwd: directory, env, mainConf: deployed(more) })
  }

  it("load as they are, and paths are meant from where the daemon was started", async () => {
    const relay = await startDeployed()
    expect((await curl("-d", "keep_output=true", `${relay.url}/1/remote-run/nodes/root`)).body).toBe(
      "hello\n"
    )
    expect((await curl(`${relay.url}/1/shared-folder/motd`)).body).toBe("hello\n")
    const content = fileOf("relative\n")
    const body = fileOf(`${await headerOf(sender, content)}relative\n`)
    const shared = `shared-files/${subRelay}/${source}/relative`
    expect((await curl("-X", "PUT", "--data-binary", `@${body}`, `${relay.url}/1/${shared}`)).status).toBe(
      200
    )
    const stored = join(relay.directory, "shared-files", subRelay, "files", source)
    expect(readdirSync(stored).sort()).toEqual(["relative", "relative.metadata"])
    // Every key is one that is known: nothing is to be said about any.
    for (const key of [
      "core_threads",
      "blocking_threads",
      "processing",
      "default_password",
      "verify_certificates"
    ])
      expect(relay.log()).not.toContain(key)
  })

  it("name what is no section, and load; relayd's own that means nothing here is known", async () => {
    const relay = await startDeployed('[rsync]\nlisten = "localhost:1234"\n[colours]\nsky = "blue"\n')
    await expect.poll(() => relay.log()).toMatch(/level=WARN.*colours/)
  })

  it("with a command given by a path that is relative", async () => {
    const directory = prepare({ nodes: tree() })
    const relay = await start({
      directory,
      cwd: directory,
      nodes: tree(),
      config: { remote_run: { command: "./agent" } }
    })
    expect((await curl("-d", "keep_output=true", `${relay.url}/1/remote-run/nodes/root`)).body).toBe(
      "hello\n"
    )
  })

  it("need ignore_processing where someone relies on reports and inventories, and then load", async () => {
    const list = prepare({ nodes: tree() })
    const conf = (ignore: string) => `[general]
node_id = "root"
listen = "127.0.0.1:0"
nodes_list_file = "${list}/nodeslist.json"
${ignore}
[processing.inventory]
output = "upstream"
[processing.reporting]
output = "database"
[output.upstream]
url = "https://127.0.0.1:8080"
user = "rudder"
password = "password"
[remote_run]
command = "${list}/agent"
use_sudo = false
directory = "${list}/runs"
[shared_files]
path = "${list}/shared-files/"
outbox = "${list}/outbox"
`
    prepare({ directory: list, mainConf: () => conf("") })
    const { code, stderr } = await program("check", "--config", list)
    expect(code).toBe(2)
    expect(stderr).toContain("ignore_processing")
    const relay = await start({
      directory: list,
      nodes: tree(),
      mainConf: () => conf("ignore_processing = true")
    })
    expect((await curl(`${relay.url}/1/system/info`)).status).toBe(200)
  })

  it.each(["off", "error", "warn", "warning", "info", "debug", "trace"])(
    "with the log level %s in logging.conf",
    async (level) => {
      const directory = prepare({ nodes: tree() })
      writeFileSync(join(directory, "logging.conf"), `[general]\nlevel = "${level}"\n`)
      const { code, stderr } = await program("check", "--config", directory)
      rmSync(directory, { recursive: true })
      expect(stderr).not.toContain("logging.conf")
      expect(code).toBe(0)
    }
  )

  it("with a filter in logging.conf, which is ignored, and said to be", async () => {
    const directory = prepare({ nodes: tree() })
    const filter = '[filter]\nlevel = "debug"\ncomponents = [ "database" ]\nnodes = [ "root" ]\n'
    writeFileSync(join(directory, "logging.conf"), `[general]\nlevel = "info"\n\n${filter}`)
    const relay = await start({ directory, nodes: tree() })
    await expect.poll(() => relay.log()).toMatch(/filter/)
    expect((await curl(`${relay.url}/1/system/info`)).status).toBe(200)
  })

  it("with an empty host of the policy server, on root", async () => {
    const relay = await start({ nodes: tree(), config: { "output.upstream": { host: "" } } })
    expect((await curl(`${relay.url}/1/system/info`)).status).toBe(200)
  })
})
