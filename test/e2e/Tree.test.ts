/** A tree of relays: root, a relay, and a relay behind that, each the built program, over TLS with pinned certificates. */
import { readFileSync, writeFileSync } from "node:fs"
import * as Https from "node:https"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { type Identity, makeIdentity, removeIdentities } from "./support/Identities.ts"
import { asking, node, startLevel } from "./support/Levels.ts"
import { cleanUp, curl, events, type NodeEntry, processesWith, type Relay } from "./support/Program.ts"

let identities: Record<"root" | "upper" | "lower" | "stranger", Identity>

beforeAll(async () => {
  const [root, upper, lower, stranger] = await Promise.all([
    makeIdentity("root"),
    makeIdentity("upper"),
    makeIdentity("lower"),
    makeIdentity("lower")
  ])
  identities = { root, upper, lower, stranger }
})
afterAll(removeIdentities)
afterEach(cleanUp)

const numbered = (prefix: string, count: number, policyServer: string): Record<string, NodeEntry> =>
  Object.fromEntries(
    Array.from({ length: count }, (_, i) => [
      `${prefix}${i}`,
      node(policyServer, `${prefix}${i}.example.com`)
    ])
  )

/** Below `lower`, below `upper`, and below root. */
const lowest = numbered("c", 3, "lower")
const middle = { lower: node("upper", "127.0.0.1"), ...numbered("b", 3, "upper"), ...lowest }
const all = { root: node("root"), upper: node("root", "127.0.0.1"), ...numbered("a", 2, "root"), ...middle }

/** All three; the agents of each level do the same. */
const startTree = async (agent: string, reconnect = "60s") => {
  const { root, upper, lower } = identities
  const bottom = await startLevel({ identity: lower, nodes: lowest, agent })
  const between = await startLevel({
    identity: upper,
    nodes: middle,
    below: bottom.port,
    known: [lower],
    agent,
    reconnect
  })
  const top = await startLevel({
    identity: root,
    nodes: all,
    below: between.port,
    known: [lower, upper],
    agent,
    reconnect
  })
  return { top, between, bottom }
}

const urlOf = ({ port }: Relay): string => `https://127.0.0.1:${port}/rudder/relay-api`
const endsOf = (body: string) => events(body).filter(({ event }) => event === "end")
const namesOf = (found: ReadonlyArray<Record<string, unknown>>) => found.map(({ node }) => node).sort()

/** An agent that waits for as long as a file of its relay's folder is there: it ends with the test. */
const held = 'cd "$(dirname "$0")"; echo started; while [ -e nodeslist.json ]; do sleep 0.1; done'

describe("three levels of relays", () => {
  it("are one stream with one end for every node", async () => {
    const { top } = await startTree(
      `printf '%s\\n\\351t\\351\\n' "$host"; echo oops >&2; printf 'no newline'; exit 3`
    )
    const { status, body } = await curl(
      "-k",
      `${urlOf(top)}/remote-run/all?output=keep&async=yes&format=ndjson`
    )
    expect(status).toBe(200)
    const said = events(body)
    expect(said[0]).toMatchObject({ event: "run", nodes: Object.keys(all), unknown: [] })
    expect(namesOf(endsOf(body))).toEqual(Object.keys(all).sort())
    for (const end of endsOf(body)) expect(end).toMatchObject({ code: 3, stderr: "oops\n" })
    for (const [id, { hostname }] of Object.entries(all)) {
      const lines = said.filter(
        ({ event, node, stream }) => event === "output" && node === id && stream === "stdout"
      )
      expect(lines).toMatchObject([
        { line: hostname },
        { base64: Buffer.from([0xe9, 0x74, 0xe9]).toString("base64") },
        { line: "no newline", unterminated: true }
      ])
      expect(said.filter(({ event, node }) => event === "start" && node === id)).toMatchObject([{ hostname }])
    }
    expect(said.at(-1)).toMatchObject({ event: "done", ok: 0, failed: Object.keys(all).length })
  })

  it("give the webapp the bytes of a node of the lowest", async () => {
    const { top } = await startTree("printf '\\351t\\351\\nno newline'")
    const { port } = top
    const bytes = await new Promise<Buffer>((resolve, reject) => {
      const request = Https.request(
        {
          port,
          host: "127.0.0.1",
          method: "POST",
          path: "/rudder/relay-api/remote-run/nodes/c1",
          headers: { "content-type": "application/x-www-form-urlencoded" },
          rejectUnauthorized: false
        },
        (response) => {
          const parts: Array<Buffer> = []
          response.on("data", (bytes: Buffer) => parts.push(bytes))
          response.on("end", () => resolve(Buffer.concat(parts)))
        }
      )
      request.on("error", reject)
      request.end("classes=&keep_output=true&asynchronous=false")
    })
    expect(bytes).toEqual(Buffer.from("\xe9t\xe9\nno newline", "latin1"))
  })

  it("whose middle is killed in a run still give an end for every node, within 5 s where reconnect is 1 s", async () => {
    const { top, between } = await startTree(held, "1s")
    const { body } = await curl("-k", "-d", "async=yes", `${urlOf(top)}/remote-run/all`)
    const { id } = JSON.parse(body)
    const behind = [...Object.keys(middle)].sort()
    await until("every agent runs", async () => {
      const run = JSON.parse((await curl("-k", `${urlOf(top)}/remote-run/runs/${id}`)).body)
      return run.running === Object.keys(all).length
    })
    between.kill("SIGKILL")
    const begun = performance.now()
    await until("all behind it have ended", async () => {
      const run = JSON.parse((await curl("-k", `${urlOf(top)}/remote-run/runs/${id}`)).body)
      return run.failed === behind.length
    })
    const took = performance.now() - begun
    console.log(`the middle relay killed: every node behind it had its end after ${took.toFixed(0)} ms`)
    expect(took).toBeLessThan(5000)
    await curl("-k", "-X", "DELETE", `${urlOf(top)}/remote-run/runs/${id}`)
    const replay = await curl("-k", `${urlOf(top)}/remote-run/runs/${id}/output`)
    const ends = endsOf(replay.body)
    expect(namesOf(ends)).toEqual(Object.keys(all).sort())
    const lost = ends.filter(({ error }) => error !== undefined)
    expect(namesOf(lost)).toEqual(behind)
    for (const { error } of lost) expect(error).toMatchObject({ _tag: "UpstreamFatal" })
  })

  it("are all reached by a cancel", async () => {
    const seconds = `${200_000 + Math.floor(Math.random() * 1e9)}`
    const { top } = await startTree(`sleep ${seconds}`)
    const { body } = await curl("-k", "-d", "async=yes", `${urlOf(top)}/remote-run/all`)
    const { id } = JSON.parse(body)
    await until("every agent runs", async () => {
      const run = JSON.parse((await curl("-k", `${urlOf(top)}/remote-run/runs/${id}`)).body)
      return run.running === Object.keys(all).length
    })
    await curl("-k", "-X", "DELETE", `${urlOf(top)}/remote-run/runs/${id}`)
    await until("no agent is left", async () => (await processesWith(`sleep ${seconds}`)).length === 0)
    const replay = await curl("-k", `${urlOf(top)}/remote-run/runs/${id}/output`)
    expect(endsOf(replay.body).map(({ cancelled }) => cancelled)).toEqual(Object.keys(all).map(() => true))
  })
})

describe("a relay below", () => {
  const others = { root: all.root, upper: all.upper, ...middle }

  it("with another certificate than is known runs nothing, until the file has its certificate", async () => {
    const { root, lower, stranger } = identities
    const agent = "echo hello"
    const nodes = { lower: node("root", "127.0.0.1"), ...lowest }
    const bottom = await startLevel({ identity: stranger, nodes: lowest, agent })
    const top = await startLevel({ identity: root, nodes, below: bottom.port, known: [lower], agent })
    const run = async () =>
      endsOf((await curl("-k", `${urlOf(top)}/remote-run/nodes?nodes=c0,c1&output=keep`)).body)
    for (const end of await run()) expect(end).toMatchObject({ code: null, error: { _tag: "UpstreamFatal" } })
    expect(JSON.parse((await curl("-k", `${urlOf(bottom)}/remote-run/runs`)).body).runs).toEqual([])
    writeFileSync(join(top.directory, "allnodescerts.pem"), lower.pem + stranger.pem)
    await until("the certificate is known", async () => (await run()).every(({ code }) => code === 0))
  })

  it("knows the one above it by its certificate", async () => {
    const { root, lower, stranger } = identities
    const nodes = { lower: node("root", "127.0.0.1"), ...lowest }
    for (const [expected, identity] of [
      [{ code: 0 }, root],
      [{ code: null, error: { _tag: "UpstreamFatal", message: expect.stringContaining("403") } }, stranger]
    ] as const) {
      const access = { policy_server: ["192.0.2.1"], policy_server_key_hash: [identity.keyHash] }
      const bottom = await startLevel({ identity: lower, nodes: lowest, agent: "echo hello", access })
      const top = await startLevel({ identity: root, nodes, below: bottom.port, known: [lower], agent: "" })
      const { body } = await curl("-k", `${urlOf(top)}/remote-run/node/c0?output=keep`)
      expect(endsOf(body)).toMatchObject([expected])
    }
  })

  it("that is not there is the end of each node behind it, soon", async () => {
    const { root, lower } = identities
    const bottom = await startLevel({ identity: lower, nodes: {}, agent: "" })
    await bottom.stop()
    const nodes = { lower: node("root", "127.0.0.1"), ...lowest }
    const top = await startLevel({
      identity: root,
      nodes,
      below: bottom.port,
      known: [lower],
      agent: "echo a"
    })
    const { body } = await curl("-k", `${urlOf(top)}/remote-run/all?output=keep&async=yes`)
    const ends = endsOf(body)
    expect(namesOf(ends)).toEqual(Object.keys(nodes).sort())
    for (const end of ends)
      expect(end).toMatchObject(end.node === "lower" ? { code: 0 } : { error: { _tag: "UpstreamFatal" } })
  })

  it("of an older kind has what it prints passed on, and its nodes unreported", async () => {
    const { root, upper } = identities
    const asked: Array<string> = []
    /** What it prints second comes once its first line has been passed on. */
    let goOn = () => {}
    const older = Https.createServer(
      { cert: upper.pem, key: readFileSync(upper.key) },
      (request, response) => {
        let body = ""
        request.on("data", (bytes) => {
          body += bytes
        })
        request.on("end", () => {
          asked.push(`${request.method} ${request.url} ${body}`)
          response.writeHead(200, { "content-type": "text/plain; charset=utf-8" })
          response.write("start\n")
          goOn = () => {
            if (!response.writableEnded) response.end("of all nodes\n")
          }
        })
      }
    )
    await new Promise<void>((resolve) => older.listen(0, "127.0.0.1", resolve))
    try {
      const address = older.address()
      const below = typeof address === "object" && address !== null ? address.port : 0
      const top = await startLevel({
        identity: root,
        nodes: others,
        below,
        known: [upper],
        agent: "echo own"
      })
      let body = ""
      await asking(top, "GET", "remote-run/all?output=keep&async=yes", (heard) => {
        body = heard
        if (heard.includes("upper:start\n")) goOn()
      })
      const names = Object.keys(middle).join("%2C")
      expect(asked).toEqual([
        `POST /rudder/relay-api/remote-run/nodes nodes=${names}&classes=&asynchronous=true&keep_output=true`
      ])
      const lines = body.split("\n").filter((line) => line.startsWith("upper:"))
      expect(lines.sort()).toEqual(["upper:of all nodes", "upper:own", "upper:start"])
      for (const end of endsOf(body))
        expect(end).toMatchObject(
          Object.hasOwn(middle, String(end.node)) ? { code: null, unreported: true } : { code: 0 }
        )
      expect(namesOf(endsOf(body))).toEqual(Object.keys(others).sort())
      expect(events(body).at(-1)).toMatchObject({ event: "done", ok: 2, failed: 0 })
    } finally {
      older.closeAllConnections()
      older.close()
    }
  })
})
