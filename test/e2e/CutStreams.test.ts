/** Streams from sub-relays that are cut: the built program, over lines that break off in the middle of any byte. */
import { readFileSync } from "node:fs"
import * as Https from "node:https"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { cuttingLine } from "./support/CuttingLine.ts"
import { type Identity, makeIdentity, removeIdentities } from "./support/Identities.ts"
import { answerOf, asking, node, startLevel } from "./support/Levels.ts"
import { endLines } from "./support/Lines.ts"
import { cleanUp, events, type NodeEntry, type Relay } from "./support/Program.ts"
import { chance } from "./support/Seeded.ts"

let identities: Record<"root" | "upper" | "lower", Identity>

beforeAll(async () => {
  const [root, upper, lower] = await Promise.all(["root", "upper", "lower"].map((id) => makeIdentity(id)))
  if (root === undefined || upper === undefined || lower === undefined) throw new Error("no identities")
  identities = { root, upper, lower }
})
afterAll(removeIdentities)
afterEach(async () => {
  endLines()
  await cleanUp()
})

const numbered = (prefix: string, count: number, policyServer: string): Record<string, NodeEntry> =>
  Object.fromEntries(
    Array.from({ length: count }, (_, i) => [
      `${prefix}${i}`,
      node(policyServer, `${prefix}${i}.example.com`)
    ])
  )

type Event = Readonly<Record<string, unknown>>
const endsOf = (said: ReadonlyArray<Event>) => said.filter(({ event }) => event === "end")
const endOf = (said: ReadonlyArray<Event>, id: string) => endsOf(said).find((end) => end.node === id)

const runOf = async (relay: Relay, id: string): Promise<Event> =>
  JSON.parse(await answerOf(relay, `remote-run/runs/${id}`))
const runsOf = async (relay: Relay): Promise<ReadonlyArray<Event>> =>
  JSON.parse(await answerOf(relay, "remote-run/runs")).runs

/** Starts a run of all nodes, of which the output is kept, and leaves once it is known which run it is. */
const startAll = async (relay: Relay): Promise<string> => {
  let id = ""
  await asking(relay, "POST", "remote-run/all?async=yes&output=keep&format=ndjson", (body, leave) => {
    if (!body.includes("\n")) return
    id = String(events(body.slice(0, body.indexOf("\n")))[0]?.id)
    leave()
  })
  return id
}

/** What a run says, up to its end. */
const outputOf = async (relay: Relay, id: string, query = "") =>
  events(await answerOf(relay, `remote-run/runs/${id}/output?format=ndjson${query}`)).filter(
    ({ event }) => event !== "ping"
  )

/** Waits until all nodes but the one that is held have ended. */
const allButOne = (relay: Relay, id: string, ended: number) =>
  until("all others have ended", async () => (await runOf(relay, id)).ok === ended, 90)

describe("lines that are cut 50 times in a run of 500 nodes, over three levels", () => {
  it("lose no line, and have none twice", async () => {
    const { below, seed } = chance()
    console.log(`E2E_SEED=${seed}`)
    const { root, upper, lower } = identities
    const lines = 60
    const agent = `i=0; while [ $i -lt ${lines} ]; do echo "$host line $i, which is as long as lines of agents are"; i=$((i+1)); done`
    // What comes first says which run it is: it is there whole. Of the others some end in the handshake, or before the first
    // 16 KiB are whole, of which TLS gives nothing until then. All together are less than what the run says.
    const cutting = (times: number) => (connection: number) =>
      connection >= times ? undefined : connection === 0 ? 60_000 : 500 + below(59_500)
    const lowest = numbered("c", 250, "lower")
    const middle = { lower: node("upper", "127.0.0.1"), ...numbered("b", 249, "upper"), ...lowest }
    const all = { upper: node("root", "127.0.0.1"), ...middle }
    const bottom = await startLevel({ identity: lower, nodes: lowest, agent })
    const lowerLine = await cuttingLine(bottom.port, cutting(25))
    const between = await startLevel({
      identity: upper,
      nodes: middle,
      below: lowerLine.port,
      known: [lower],
      agent
    })
    const upperLine = await cuttingLine(between.port, cutting(50))
    const top = await startLevel({
      identity: root,
      nodes: all,
      below: upperLine.port,
      known: [lower, upper],
      agent
    })
    const begun = performance.now()
    const id = await startAll(top)
    const said = await outputOf(top, id)
    console.log(
      `cut ${upperLine.cuts()} and ${lowerLine.cuts()} times, in ${((performance.now() - begun) / 1000).toFixed(1)} s`
    )
    expect(upperLine.cuts()).toBe(50)
    expect(lowerLine.cuts()).toBe(25)
    expect(said.at(-1)).toMatchObject({ event: "done", ok: 501, failed: 0 })
    expect(
      endsOf(said)
        .map(({ node }) => node)
        .sort()
    ).toEqual(Object.keys(all).sort())
    const printed = new Map<unknown, Array<unknown>>()
    for (const { event, node, line } of said)
      if (event === "output") printed.set(node, [...(printed.get(node) ?? []), line])
    for (const [id, { hostname }] of Object.entries(all))
      expect(printed.get(id)).toEqual(
        Array.from(
          { length: lines },
          (_, i) => `${hostname} line ${i}, which is as long as lines of agents are`
        )
      )
    // Each order was sent once: no relay has more runs than one.
    for (const relay of [top, between, bottom]) expect((await runsOf(relay)).length).toBe(1)
    // And so is whoever else asks for what follows so many events.
    for (const from of [0, 1, 7777, said.length - 1, said.length])
      expect(await outputOf(top, id, `&from=${from}`)).toEqual(said.slice(from))
    const one = await outputOf(top, id, "&node=c7&stream=stdout")
    expect(one).toEqual(
      said.filter(({ event, node }) => node === "c7" || event === "run" || event === "done")
    )
    expect((await outputOf(top, id, "&state=failed")).map(({ event }) => event)).toEqual(["run", "done"])
  }, 300_000)
})

/** Ends at once, but for c1, whose agent waits for as long as a file of its relay's folder is there. */
const held = `cd "$(dirname "$0")"; echo started; [ "$host" = c1.example.com ] && while [ -e nodeslist.json ]; do sleep 0.1; done; echo over`

describe("a sub-relay", () => {
  const lowest = numbered("c", 3, "lower")
  const all = { lower: node("root", "127.0.0.1"), ...lowest }

  it("that is killed and there again says how the run ended", async () => {
    const { root, lower } = identities
    const bottom = await startLevel({ identity: lower, nodes: lowest, agent: held })
    const top = await startLevel({
      identity: root,
      nodes: all,
      below: bottom.port,
      known: [lower],
      agent: held
    })
    const id = await startAll(top)
    await allButOne(top, id, 3)
    bottom.kill("SIGKILL")
    await bottom.exited
    const again = await startLevel({ identity: lower, nodes: lowest, agent: held, again: bottom })
    const said = await outputOf(top, id)
    expect(endOf(said, "c1")).toMatchObject({
      code: null,
      error: { _tag: "AgentError", message: "the relay stopped abruptly during the run" }
    })
    expect(endsOf(said).length).toBe(4)
    expect(said.filter(({ event, node }) => event === "output" && node === "c1")).toMatchObject([
      { line: "started" }
    ])
    expect(said.at(-1)).toMatchObject({ event: "done", ok: 3, failed: 1 })
    expect(await runsOf(again)).toMatchObject([{ interrupted: true }])
  }, 120_000)

  it("that is gone for longer than reconnect is the end of its nodes, and holds up no cancel and no stop", async () => {
    const { root, lower } = identities
    const bottom = await startLevel({ identity: lower, nodes: lowest, agent: held })
    const level = { identity: root, nodes: all, below: bottom.port, known: [lower], agent: held }
    const [top, patient, stopped] = await Promise.all([
      startLevel({ ...level, reconnect: "1s" }),
      startLevel({ ...level, reconnect: "1h" }),
      startLevel({ ...level, reconnect: "1h", grace: "1s" })
    ])
    const ids = await Promise.all([startAll(top), startAll(patient), startAll(stopped)])
    for (const [i, relay] of [top, patient, stopped].entries()) await allButOne(relay, ids[i] ?? "", 3)
    bottom.kill("SIGKILL")
    await bottom.exited
    const lost = await outputOf(top, ids[0] ?? "")
    expect(endOf(lost, "c1")).toMatchObject({
      code: null,
      error: { _tag: "UpstreamFatal", message: expect.stringContaining("could not be taken up again in 1s") }
    })
    await answerOf(patient, `remote-run/runs/${ids[1]}`, "DELETE")
    expect(endOf(await outputOf(patient, ids[1] ?? ""), "c1")).toMatchObject({ cancelled: true })
    stopped.kill("SIGTERM")
    expect(await stopped.exited).toBe(0)
  }, 180_000)

  it("that is older, and does not have the run's output, is the end of its nodes soon", async () => {
    const { root, lower } = identities
    const asked: Array<string> = []
    const older = Https.createServer(
      { cert: lower.pem, key: readFileSync(lower.key) },
      (request, response) => {
        asked.push(`${request.method} ${request.url}`)
        request.resume().on("end", () => {
          if (request.method === "GET") return void response.writeHead(404).end("no such route")
          response.writeHead(200, { "content-type": "application/x-ndjson" })
          const id = "01900000-0000-7000-8000-000000000000"
          for (const event of [
            { event: "run", id, nodes: ["c0", "c1", "c2"], unknown: [], classes: [] },
            { event: "start", node: "c0", hostname: "c0.example.com" },
            { event: "end", node: "c0", code: 0, duration: 1, stderr: "" }
          ])
            response.write(`${JSON.stringify(event)}\n`)
          response.write("", () => response.socket?.end())
        })
      }
    )
    await new Promise<void>((resolve) => older.listen(0, "127.0.0.1", resolve))
    try {
      const address = older.address()
      const below = typeof address === "object" && address !== null ? address.port : 0
      const top = await startLevel({ identity: root, nodes: all, below, known: [lower], agent: "echo own" })
      const said = events(await answerOf(top, "remote-run/all?output=keep&async=yes"))
      expect(endOf(said, "c0")).toMatchObject({ code: 0 })
      for (const id of ["c1", "c2"])
        expect(endOf(said, id)).toMatchObject({
          error: { _tag: "UpstreamFatal", message: expect.stringContaining("answered 404") }
        })
      expect(asked).toEqual([
        "POST /rudder/relay-api/remote-run/nodes",
        "GET /rudder/relay-api/remote-run/runs/01900000-0000-7000-8000-000000000000/output?format=ndjson&from=3"
      ])
    } finally {
      older.closeAllConnections()
      older.close()
    }
  })
})
