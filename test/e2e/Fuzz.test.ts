/**
 * A relay among lunatics: strangers with raw sockets, and a policy server and a sub-relay that answer anything at all.
 * `E2E_FUZZ_SECONDS` says how long; `E2E_SEED` replays what a failed test printed, as far as the machine lets it.
 */
import { copyFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { bulkSender } from "./support/BulkSender.ts"
import { type Identity, makeIdentity, removeIdentities } from "./support/Identities.ts"
import { runMadness, sane, wireMadness } from "./support/Madness.ts"
import { type Madness, type MadServer, startMadServer } from "./support/MadServer.ts"
import { entriesOf, retryAll } from "./support/OutboxView.ts"
import {
  cleanUp,
  curl,
  events,
  memory,
  type NodeEntry,
  prepare,
  type Relay,
  start
} from "./support/Program.ts"
import { attack, attackTls } from "./support/RawAttacks.ts"
import { openBy } from "./support/Remains.ts"
import { chance, setting } from "./support/Seeded.ts"
import { entryOf, newSender, removeSenders, type Sender } from "./support/Senders.ts"

const seconds = setting("E2E_FUZZ_SECONDS", 20)
const MiB = 1024 * 1024

let identity: Identity
let c: Sender
let mad: MadServer | undefined

beforeAll(async () => {
  identity = await makeIdentity("sub")
  c = await newSender("c")
})
afterAll(removeIdentities)
afterAll(removeSenders)
afterEach(async () => {
  await cleanUp()
  await mad?.close()
})

const mine = (hostname: string): NodeEntry => ({ hostname, "policy-server": "relay" })
const behind = ["b0", "b1", "b2"]

const tree = (): Record<string, NodeEntry> => ({
  n0: mine("n0.example.com"),
  n1: mine("n1.example.com"),
  t: mine("t.example.com"),
  c: entryOf(c, "relay"),
  sub: mine("127.0.0.1"),
  ...Object.fromEntries(behind.map((id) => [id, { hostname: `${id}.example.com`, "policy-server": "sub" }]))
})

/** The folder of a relay, and how it is started. */
const world = (server?: MadServer) => {
  const directory = prepare()
  const certificates = join(directory, "allnodescerts.pem")
  writeFileSync(certificates, identity.pem)
  const upstream = {
    "output.upstream": { host: "127.0.0.1", server_certificate_file: identity.certificate }
  }
  return {
    directory,
    nodes: tree(),
    agent: "echo begin; sleep 0.05; echo end",
    config: {
      general: {
        node_id: "relay",
        nodes_list_file: join(directory, "nodeslist.json"),
        listen: "127.0.0.1:0",
        nodes_certs_file: certificates,
        ...(server === undefined ? {} : { https_port: server.port })
      },
      limits: { headers_timeout: "2s", body_idle_timeout: "2s" },
      remote_run: { timeout: "10s", reconnect: "2s" },
      shared_files: { forward_wait: "200ms", forward_timeout: "2s", min_free: 0 },
      "shared_files.retry": { initial: "20ms", max: "200ms" },
      ...upstream
    }
  }
}

/** What there is to be of a process afterwards: what there was, or little more. */
const sizeOf = ({ pid }: Relay) => ({ open: openBy(pid).length, resident: memory(pid).now })

const backTo = async (relay: Relay, before: ReturnType<typeof sizeOf>): Promise<void> => {
  await until(
    `as few files are open as before: ${before.open}`,
    () => openBy(relay.pid).length <= before.open + 10,
    60
  ).catch((error) => {
    throw new Error(`${error}; open: ${openBy(relay.pid).join(", ")}`)
  })
  const { resident, open } = sizeOf(relay)
  console.log(
    `open files ${before.open} → ${open}, memory ${(before.resident / MiB).toFixed(0)} → ${(resident / MiB).toFixed(0)} MiB, ` +
      `at most ${(memory(relay.pid).highest / MiB).toFixed(0)}`
  )
  expect(resident - before.resident).toBeLessThan(200 * MiB)
}

/** Lines that tell of what nobody foresaw. */
const unforeseen = (relay: Relay): ReadonlyArray<string> =>
  relay
    .log()
    .split("\n")
    .filter((line) => /defect|unhandled|a request failed|internal error|uncaught/i.test(line))
    .slice(0, 10)

/** Ends of every node that was asked for, and of no other, once each; the answer is whole. */
const runFault = (status: number, body: string, asked: ReadonlyArray<string>): string | undefined => {
  const all = body
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line))
  const ends = all.filter(({ event }) => event === "end").map(({ node }) => node)
  const whole = all.at(-1)?.event === "done"
  return status === 200 && whole && ends.sort().join() === [...asked].sort().join()
    ? undefined
    : `${status}, ends of ${ends.join()}, ${whole ? "whole" : "cut"}`
}

const runOf = (relay: Relay, ids: ReadonlyArray<string>) =>
  curl("-m", "100", `${relay.url}/remote-run/nodes?nodes=${ids.join()}&output=keep&format=ndjson`)

/** A HEAD, an upload and a run, as on any day. */
const worksAsEver = async (relay: Relay, sender: ReturnType<typeof bulkSender>): Promise<void> => {
  const hash = "ab".repeat(64)
  const url = `${relay.url}/shared-files/node/t/absent?source-uuid=c&hash=${hash}`
  expect((await curl("-m", "20", "-I", "-o", "/dev/null", url)).status).toBe(404)
  const content = Buffer.from("as ever\n")
  expect(await sender.post(relay, `/shared-files/node/t/as-ever?${sender.query(content)}`, content)).toBe(200)
  const { status, body } = await runOf(relay, ["n0", "n1"])
  expect(runFault(status, body, ["n0", "n1"])).toBe(undefined)
  expect(events(body).at(-1)).toMatchObject({ event: "done", ok: 2, failed: 0 })
}

const isUp = (relay: Relay): boolean => {
  try {
    process.kill(relay.pid, 0)
    return true
  } catch {
    return false
  }
}

/** Does it again and again, side by side, each with chance of its own, until the time is over or the relay has died. */
const meanwhile = async (
  relay: Relay,
  seed: number,
  workers: number,
  act: (luck: ReturnType<typeof chance>) => Promise<unknown>
): Promise<number> => {
  const end = Date.now() + seconds * 1000
  let count = 0
  const worker = async (_: unknown, i: number) => {
    const luck = chance(seed + i)
    while (Date.now() < end && isUp(relay)) {
      await act(luck)
      count++
    }
  }
  await Promise.all(Array.from({ length: workers }, worker))
  return count
}

describe("strangers with raw sockets", () => {
  it(
    "neither end the relay, nor cost it anything that lasts",
    async () => {
      const { seed } = chance()
      console.log(`E2E_SEED=${seed}`)
      const relay = await start(world())
      const sender = bulkSender(c, 1)
      await worksAsEver(relay, sender)
      const before = sizeOf(relay)
      const faults: Array<string> = []
      const count = await meanwhile(relay, seed, 8, async (luck) => {
        // It can't be connected to when it has died, and not for long when it is full.
        const given = await attack(relay.port, luck).catch(() => undefined)
        if (given !== undefined && /^HTTP\/1\.1 500/m.test(given.answer))
          faults.push(`${given.name}: ${given.sent} → ${given.answer.slice(0, 300)}`)
      })
      console.log(`${count} connections`)
      expect(isUp(relay) ? "up" : relay.log().slice(-2000)).toBe("up")
      await worksAsEver(relay, sender)
      expect(faults.slice(0, 5)).toEqual([])
      expect(unforeseen(relay)).toEqual([])
      await backTo(relay, before)
      sender.close()
      expect(await relay.stop()).toBe(0)
    },
    120_000 + seconds * 1000
  )

  it(
    "nor do they behind TLS",
    async () => {
      const { seed } = chance()
      console.log(`E2E_SEED=${seed}`)
      const given = world()
      const tls = { certificate: join(given.directory, "cert.pem"), key: join(given.directory, "key.pem") }
      copyFileSync(identity.certificate, tls.certificate)
      copyFileSync(identity.key, tls.key)
      const relay = await start({ ...given, config: { ...given.config, tls } })
      const url = `https://127.0.0.1:${relay.port}/rudder/relay-api`
      const answered = () => curl("-k", "-m", "20", `${url}/system/info`).then(({ status }) => status)
      expect(await answered()).toBe(200)
      const before = sizeOf(relay)
      const count = await meanwhile(relay, seed, 8, (luck) => attackTls(relay.port, luck).catch(() => {}))
      console.log(`${count} connections`)
      expect(isUp(relay) ? "up" : relay.log().slice(-2000)).toBe("up")
      expect(await answered()).toBe(200)
      expect(unforeseen(relay)).toEqual([])
      await backTo(relay, before)
      expect(await relay.stop()).toBe(0)
    },
    120_000 + seconds * 1000
  )
})

describe("a policy server and a sub-relay that have gone mad", () => {
  it(
    "cost no node its end, no file its way, and the relay nothing that lasts",
    async () => {
      const { seed } = chance()
      console.log(`E2E_SEED=${seed}`)
      const server = await startMadServer(identity)
      mad = server
      const options = world(server)
      const relay = await start(options)
      const sender = bulkSender(c, 8)
      server.behave(sane)
      await worksAsEver(relay, sender)
      expect((await runOf(relay, behind)).status).toBe(200)
      const before = sizeOf(relay)
      const luck = chance(seed)
      const wire = wireMadness(luck)
      const runs = runMadness(luck)
      const kinds = new Set<string>()
      let last = ""
      const behaviour: Madness = (request, connection, under) => {
        const ofRun = request.target.includes("/remote-run/")
        const [name, madness] = luck.pick(ofRun && luck.below(4) > 0 ? runs : wire)
        last = name
        kinds.add(name)
        madness(request, connection, under)
      }
      server.behave(behaviour, () => luck.below(4) === 0)
      const faults: Array<string> = []
      const fault = (what: string, found: string | undefined) => {
        if (found !== undefined) faults.push(`${what} (about ${last}): ${found.slice(0, 300)}`)
      }
      let files = 0
      const share = async () => {
        const content = Buffer.from(`file ${files}\n`.repeat(1 + (files % 3) * 10_000))
        const path = `/shared-files/node/elsewhere/file-${files++}?${sender.query(content)}`
        const status = await sender.post(relay, path, content).catch((error) => String(error))
        // The policy server's refusal is passed on; nothing else is.
        if (!(status === 200 || status === 202 || (Number(status) >= 400 && Number(status) < 500)))
          fault("an upload", `${status}`)
      }
      const ask = async () => {
        const url = `${relay.url}/shared-files/node/elsewhere/asked?source-uuid=c&hash=${"ab".repeat(64)}`
        const { status } = await curl("-m", "30", "-I", "-o", "/dev/null", url)
        if (status === 0 || status >= 500) fault("HEAD", status === 0 ? "no answer" : `${status}`)
      }
      const run = async () => {
        const asked = [...behind, "n0"]
        const { status, body } = await runOf(relay, asked)
        fault("a run", runFault(status, body, asked))
      }
      const count = await meanwhile(relay, seed, 8, (own) => own.pick([share, ask, run, run])())
      console.log(`${count} requests, ${server.requests()} answers of ${kinds.size} kinds`)
      expect(isUp(relay) ? "up" : relay.log().slice(-2000)).toBe("up")
      server.behave(sane)
      await worksAsEver(relay, sender)
      const { status, body } = await runOf(relay, behind)
      expect(runFault(status, body, behind)).toBe(undefined)
      expect(events(body).at(-1)).toMatchObject({ event: "done", ok: behind.length, failed: 0 })
      await retryAll(relay)
      await until(
        "nothing waits for a policy server that has come to its senses",
        async () => (await entriesOf(relay)).every(({ state }) => state === "refused"),
        60
      ).catch(async (error) => {
        const waiting = (await entriesOf(relay)).filter(({ state }) => state !== "refused")
        fault("the outbox", `${error}: ${JSON.stringify(waiting.slice(0, 2))}`)
      })
      expect(faults.slice(0, 10)).toEqual([])
      expect(unforeseen(relay)).toEqual([])
      await everyRunIsThere(relay)
      await backTo(relay, before)
      expect(await relay.stop()).toBe(0)
      // What was written of all that can be read again.
      const again = await start(options)
      await everyRunIsThere(again)
      sender.close()
      expect(await again.stop()).toBe(0)
    },
    240_000 + seconds * 1000
  )
})

/** Each run of the list has its detail, with a state for each of its nodes. */
const everyRunIsThere = async (relay: Relay): Promise<void> => {
  const { runs } = JSON.parse((await curl(`${relay.url}/remote-run/runs?limit=50`)).body)
  for (const { id, nodes, running } of runs) {
    const { status, body } = await curl(`${relay.url}/remote-run/runs/${id}`)
    expect({ id, status, running }).toEqual({ id, status: 200, running: 0 })
    expect(JSON.parse(body).states.length).toBe(nodes)
    expect(
      (await curl("-m", "20", "-o", "/dev/null", `${relay.url}/remote-run/runs/${id}/output`)).status
    ).toBe(200)
  }
}
