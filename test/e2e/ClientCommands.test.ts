/** The commands that ask a relay, but for `run`, against one with 300 nodes: in a pipe and in a terminal. */
import { createHash, createPublicKey, type KeyObject } from "node:crypto"
import { writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { newKey } from "../../src/testing/SelfSigned.ts"
import { until } from "../support/Until.ts"
import { cleanUp, curl, main, nodes, prepare, program, type Relay, start } from "./support/Program.ts"
import { endTerminals, terminal } from "./support/Terminal.ts"

const agent = `case $host in
  n3.*) echo "oops" >&2; exit 1;;
  n4.*) exec sleep 1000;;
esac
echo "hello from $host"`

const uuids = Array.from({ length: 3 }, (_, at) => `72d6bd8b-b1d6-4b62-8e2e-bbc0b2d0b4f${at}`)
let relay: Relay
let key: KeyObject
let run = ""

const pem = () => join(relay.directory, "key.pem")
const asked = (...args: ReadonlyArray<string>) => program(...args, "--url", relay.origin)
const json = async (...args: ReadonlyArray<string>) => JSON.parse((await asked(...args, "--json")).stdout)
const started = async (form: string): Promise<string> => {
  const { body } = await curl("-d", form, `${relay.url}/remote-run/nodes`)
  const id = /"id":"([^"]+)"/.exec(body)?.[1]
  if (id === undefined) throw new Error(body)
  return id
}

beforeAll(async () => {
  key = newKey(2048)
  const spki = createPublicKey(key).export({ type: "spki", format: "der" })
  const keyHash = `sha256:${createHash("sha256").update(spki).digest("hex")}`
  const list = Object.fromEntries([
    ...Object.entries(nodes(296)),
    ["n296", { hostname: "n296.example.com", "policy-server": "root", "key-hash": keyHash }],
    ...uuids.map((id, at) => [id, { hostname: `uuid${at}.example.com`, "policy-server": "root" }] as const)
  ])
  relay = await start({ nodes: list, agent })
  writeFileSync(pem(), key.export({ type: "pkcs8", format: "pem" }))
  run = await started("nodes=n1,n2,n3&output=keep&actor=me&reason=why")
})

afterAll(async () => {
  endTerminals()
  await cleanUp()
})

describe("in a pipe", () => {
  it("runs are listed, narrowed and shown, whole or as JSON", async () => {
    const listed = await asked("runs")
    expect(listed).toMatchObject({ code: 0, stderr: "" })
    expect(listed.stdout).toMatch(/^ID +STARTED +NODES +RESULT +BY +CLASSES +REASON\n/)
    expect(listed.stdout).toMatch(new RegExp(`${run} +\\S+Z +3 +1 failed +me +- +why`))
    expect(await json("runs", "list")).toMatchObject({ runs: [{ id: run, nodes: 3 }], next: null })
    const narrow = ["--node", "n3.example.com", "--since", "1h", "--actor", "me", "--state", "ended"]
    expect((await json("runs", "list", ...narrow)).runs).toHaveLength(1)
    expect(await asked("runs", "list", "--node", "n7")).toMatchObject({
      code: 0,
      stdout: "",
      stderr: "There are no such runs.\n"
    })
    const shown = await asked("runs", "show", run.slice(0, 13))
    expect(shown.stdout).toMatch(/nodes +3: 2 ok, 1 failed\n/)
    expect(shown.stdout.trimEnd().split("\n").at(-1)).toMatch(/^n3 +code 1 +\S+s +oops$/)
    expect((await json("runs", "show", run)).states).toHaveLength(3)
  })

  it("a run's output is printed in each format and view, and narrowed", async () => {
    const text = await asked("runs", "output", run)
    expect(text.code).toBe(0)
    expect(text.stdout).toContain("n1:hello from n1.example.com\n")
    expect((await asked("runs", "output", run, "--format", "raw", "--node", "n1")).stdout).toBe(
      "hello from n1.example.com\n"
    )
    const events = (await asked("runs", "output", run, "--format=ndjson", "--stream=stderr")).stdout
    expect(
      events
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line).event)
    ).toContain("done")
    const failed = await asked("runs", "output", run, "--view", "quiet")
    expect(failed.code).toBe(1)
    expect(failed.stdout).toContain("n3.example.com (1): code 1")
    expect(await asked("runs", "output", run, "--view", "live", "--node", "n1")).toMatchObject({ code: 2 })
  })

  it("a run is retried, and cancelled where it goes on", async () => {
    const retried = await asked("runs", "retry", run, "--only", "failed", "--view", "quiet")
    expect(retried.code).toBe(1)
    expect(retried.stdout).toContain("1 failed")
    expect((await json("runs", "list", "--limit", "1")).runs).toMatchObject([{ parent: run, nodes: 1 }])
    expect((await asked("runs", "retry", run, "--only", "skipped")).stdout).toContain("no node of run")
    expect((await asked("runs", "cancel", run)).stdout).toBe(`run ${run} was over already\n`)
    const id = await started("nodes=n4&output=discard&async=yes")
    expect((await asked("runs", "retry", id)).stderr).toContain("goes on")
    expect((await asked("runs", "cancel", id)).stdout).toBe(`run ${id} is being cancelled\n`)
    await until("it is over", async () => (await json("runs", "show", id)).states[0].state === "ended")
  })

  it("nodes are listed over all pages, up to a limit, by a pattern, and shown", async () => {
    expect((await asked("nodes")).stdout.split("\n")).toHaveLength(1 + 300 + 1)
    expect((await json("nodes", "list", "--match", "n29?.EXAMPLE.com")).nodes).toHaveLength(7)
    const limited = await asked("nodes", "list", "--limit", "120")
    expect(limited.stdout.split("\n")).toHaveLength(1 + 120 + 1)
    expect(limited.stderr).toBe("There are more than these 120: --limit N shows N.\n")
    expect((await json("nodes", "--limit", "2")).next).not.toBeNull()
    expect((await asked("nodes", "show", "uuid1.example.com")).stdout).toContain(uuids[1])
    expect(await json("nodes", "show", "n296")).toMatchObject({ hostname: "n296.example.com", key: true })
  })

  it("a file is shared, listed and deleted", async () => {
    const file = join(relay.directory, "motd")
    writeFileSync(file, Buffer.alloc(3_000_000, "x"))
    const words = ["share", "--source", "n296", "--target", "n1", "--key", pem(), file]
    const stored = await asked(...words, "--ttl", "1d")
    expect(stored).toMatchObject({ code: 0, stderr: "" })
    expect(stored.stdout).toMatch(/^stored: 2\.9 MiB, sha512 [0-9a-f]{128}, until \S+Z\n$/)
    expect((await asked(...words)).stdout).toMatch(/^present: /)
    expect((await asked(...words, "--file-id", "other")).stdout).toMatch(/^stored: /)
    expect((await asked("files")).stdout).toMatch(
      /^TARGET\/SOURCE\/FILE +SIZE +EXPIRES +DATE\nn1\/n296\/motd +2\.9 MiB/
    )
    expect((await json("files", "list", "--target", "n1")).files).toHaveLength(2)
    expect(await asked("files", "delete", "n1/n296/motd")).toMatchObject({
      code: 0,
      stdout: "n1/n296/motd is deleted\n"
    })
    expect((await asked("files", "delete", "n1/n296/motd")).code).toBe(4)
    expect((await asked("files", "delete", "n1/motd")).code).toBe(2)
  })

  it("the outbox and the status are shown", async () => {
    expect(await asked("outbox")).toMatchObject({ code: 0, stderr: "The outbox is empty.\n" })
    expect(await json("outbox", "list")).toEqual({
      data: { entries: [], next: null },
      result: "success",
      action: "getOutbox"
    })
    expect((await asked("outbox", "retry")).stdout).toBe("0 files are tried now\n")
    const status = await asked("status")
    expect(status.stdout).toMatch(/^configuration +ok/)
    expect(status.stdout).toContain("300 known")
    expect(await json("status")).toMatchObject({ action: "getStatus", data: { nodes: { known: 300 } } })
  })
})

describe("what goes wrong", () => {
  const oneLine = /^rudder-relay[^\n]*\n$/

  it("is one line with code 4 where the relay does not answer, or refuses", async () => {
    const web = createServer((_, response) => response.writeHead(503).end("<html>down</html>"))
    web.listen(0, "127.0.0.1")
    await until("listening", () => web.listening)
    const address = web.address()
    const elsewhere = typeof address === "object" ? `http://127.0.0.1:${address?.port}` : ""
    const closed = prepare()
    const denying = await start({
      nodes: nodes(1),
      config: { access: { admin: ["192.0.2.1"], policy_server: ["192.0.2.1"] } }
    })
    const absent = "019b8d1c-2600-7a64-9e7c-3f1f0c5f2b11"
    const missing = join(closed, "none")
    const cases: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
      [["status", "--url", "http://127.0.0.1:1"], /no answer from http:\/\/127\.0\.0\.1:1/],
      [["runs", "--url", elsewhere], /503/],
      [["nodes", "--url", denying.origin], /access\.admin/],
      [["runs", "--url", denying.origin], /access\.policy_server/],
      [["runs", "show", absent, "--url", relay.origin], new RegExp(absent)],
      [["runs", "output", absent, "--url", relay.origin], new RegExp(absent)],
      [["runs", "cancel", absent, "--url", relay.origin], new RegExp(absent)],
      [["runs", "show", "abcd", "--url", relay.origin], /no run's id begins with abcd/],
      [["nodes", "show", "nobody", "--url", relay.origin], /"nobody"/],
      [
        ["outbox", "delete", "019b8d1c26000000-2cf24dba5fb0a30e26e83b2ac5b9e29e", "--url", relay.origin],
        /outbox/
      ],
      [["share", "--source", "n1", "--target", "n2", "--key", pem(), pem(), "--url", relay.origin], /refused/]
    ]
    for (const [words, message] of cases) {
      const { code, stdout, stderr } = await program(...words)
      expect({ words, code, stdout }).toEqual({ words, code: 4, stdout: "" })
      expect(stderr).toMatch(oneLine)
      expect(stderr).toMatch(message)
    }
    for (const words of [
      ["share", "--source", "n1", "--target", "n2", "--key", missing, pem()],
      ["share", "--source", "n1", "--target", "n2", "--key", pem(), missing],
      ["share", "--source", "n1", "--target", "n2", "--key", pem(), closed],
      ["share", "--source", "n1", "--target", "n2", "--key", fileURLToPath(import.meta.url), pem()],
      ["share", "--source", "n1", "--target", "n2", pem()],
      ["runs", "show", run.slice(0, 3)],
      ["runs", "retry", run, "--only", "bad"],
      ["runs", "--limit", "0"],
      ["runs", "--limit", "x"],
      ["status", "--url", "nonsense"],
      ["stats"]
    ]) {
      const { code, stdout, stderr } = await program(
        ...words,
        ...(words.includes("--url") ? [] : ["--url", relay.origin])
      )
      expect({ words, code, stdout }).toEqual({ words, code: 2, stdout: "" })
      expect(stderr).toMatch(oneLine)
    }
    expect((await program("stats")).stderr).toContain("did you mean status?")
    web.close()
  })

  it("is code 1 where a part of the relay is not well", async () => {
    const ill = await start({ nodes: nodes(1) })
    writeFileSync(join(ill.directory, "nodeslist.json"), "{")
    ill.kill("SIGHUP")
    await until("it says so", async () => (await program("status", "--url", ill.origin)).code === 1)
    expect((await program("status", "--url", ill.origin)).stdout).toMatch(/ error /)
  })
})

describe("in a terminal", () => {
  const shown = async (words: ReadonlyArray<string>, columns: number) => {
    const screen = terminal([process.execPath, main, ...words, "--url", relay.origin], { columns, rows: 50 })
    return { screen, text: await screen.shows(/ended with \d+/) }
  }
  const lines = (text: string) => text.split("\n").map((line) => line.trimEnd())

  it("tables fit the width, and ids are whole", async () => {
    for (const columns of [60, 80, 200]) {
      const { text } = await shown(["nodes", "list", "--match", "uuid*"], columns)
      for (const id of uuids) expect(text).toContain(id)
      expect(Math.max(...lines(text).map((line) => line.length))).toBeLessThanOrEqual(columns)
    }
    const { text } = await shown(["runs"], 70)
    expect(text).toContain(run)
    expect(lines(text).filter((line) => line.includes(run))).toHaveLength(1)
    expect(text).toContain("ended with 0")
  })

  it("every command ends as in a pipe", async () => {
    for (const [words, expected] of [
      [["status"], /configuration +ok[\s\S]*ended with 0/],
      [["outbox"], /The outbox is empty[\s\S]*ended with 0/],
      [["files"], /n1\/n296\/other[\s\S]*ended with 0/],
      [["nodes", "show", "n1"], /n1\.example\.com[\s\S]*ended with 0/],
      [["runs", "show", run], /n3 +code 1[\s\S]*ended with 0/],
      [["runs", "output", run], /n1:hello from[\s\S]*ended with 0/],
      [["runs", "output", run, "--view", "gather"], /oops[\s\S]*ended with 1/],
      [["runs", "cancel", run], /was over already[\s\S]*ended with 0/]
    ] as const)
      expect((await shown(words, 100)).text).toMatch(expected)
  })

  it("share says how far it is, and takes that away again", async () => {
    const file = join(relay.directory, "large")
    writeFileSync(file, Buffer.alloc(60_000_000, "y"))
    const screen = terminal(
      [
        process.execPath,
        main,
        "share",
        "--source",
        "n296",
        "--target",
        "n2",
        "--key",
        pem(),
        file,
        "--url",
        relay.origin
      ],
      { columns: 220 }
    )
    expect(await screen.shows(/(signing|sending): [\d.]+ [KM]iB of 57\.2 MiB \(\d+%\)|ended with/)).toMatch(
      /\/s/
    )
    const text = await screen.shows(/ended with 0/)
    expect(text).toMatch(/stored: 57\.2 MiB/)
    expect(text).not.toContain("sending")
  })

  it("Ctrl-C leaves a run that is followed, and the run goes on", async () => {
    const id = await started("nodes=n4&output=discard&async=yes")
    const screen = terminal([process.execPath, main, "runs", "output", id, "--url", relay.origin])
    await screen.shows(/"event":"start"/)
    screen.press("C-c")
    await screen.shows(/ended with 130/)
    expect((await json("runs", "show", id)).states[0].state).toBe("running")
    expect((await asked("runs", "cancel", id)).code).toBe(0)
  })
})
