/**
 * kill -9 at any moment: of a start, of runs, uploads and deliveries, of a stop. `E2E_KILLS` says how often; `E2E_SEED`
 * replays what a failed test printed.
 */
import { lstatSync, readFileSync } from "node:fs"
import * as Http from "node:http"
import { join } from "node:path"
import { setTimeout as after } from "node:timers/promises"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { until } from "../support/Until.ts"
import { type BulkSender, bulkSender } from "./support/BulkSender.ts"
import { type Identity, makeIdentity, removeIdentities } from "./support/Identities.ts"
import { type Ledger, newLedger } from "./support/Ledger.ts"
import { entriesOf, retryAll } from "./support/OutboxView.ts"
import { type PolicyServer, startPolicyServer, stopPolicyServers } from "./support/PolicyServer.ts"
import {
  cleanUp,
  curl,
  events,
  type Launched,
  launch,
  type NodeEntry,
  type Options,
  prepare,
  type Relay
} from "./support/Program.ts"
import { allGone, contentsOf, endAll, temporaryFolder } from "./support/Remains.ts"
import { type Chance, chance, setting } from "./support/Seeded.ts"
import { entryOf, newSender, removeSenders, type Sender } from "./support/Senders.ts"
import { fieldsOf } from "./support/Sharing.ts"

const rounds = setting("E2E_KILLS", 10)
const nodeCount = 300

let identity: Identity
let c: Sender
let folder = ""

beforeAll(async () => {
  identity = await makeIdentity("root")
  c = await newSender("c")
})
afterAll(removeIdentities)
afterAll(removeSenders)
afterEach(async () => {
  await cleanUp()
  if (folder !== "") endAll(folder)
  stopPolicyServers()
})

const kinds = ["start", "runs", "uploads", "deliveries", "stop"] as const
type Kind = (typeof kinds)[number]

const mine = (hostname: string): NodeEntry => ({ hostname, "policy-server": "relay" })

const tree = (): Record<string, NodeEntry> => ({
  ...Object.fromEntries(Array.from({ length: nodeCount }, (_, i) => [`n${i}`, mine(`n${i}.example.com`)])),
  t: mine("t.example.com"),
  c: entryOf(c, "relay")
})

/** What a round is made of. */
interface World {
  readonly options: Options
  readonly luck: Chance
  readonly server: PolicyServer
  readonly sender: BulkSender
  /** Files for a node of this relay, and files for one that is not below it. */
  readonly near: Ledger
  readonly far: Ledger
  /** Runs that were acknowledged, and how many nodes each has. */
  readonly runs: Map<string, number>
  readonly faults: Array<string>
}

/** Everything that is called temporary. */
const temporary = (directory: string): ReadonlyArray<string> =>
  ["tmp", "shared-files/~tmp", "outbox/~tmp", "runs/~tmp"].flatMap((name) =>
    contentsOf(join(directory, name)).map((entry) => join(name, entry))
  )

/** Temporary files, each with its inode: a later one may have the same name. */
const temporaryFiles = (directory: string): ReadonlyArray<string> =>
  temporary(directory).flatMap((name) => {
    const found = lstatSync(join(directory, name), { throwIfNoEntry: false })
    return found === undefined || found.isDirectory() ? [] : [`${name} (inode ${found.ino})`]
  })

/** Sends one version after the other until there is nobody to send it to. */
const sending = async (world: World, relay: Relay, target: "t" | "far", name: string): Promise<void> => {
  const ledger = target === "t" ? world.near : world.far
  for (;;) {
    const { version, content } = ledger.begin(name)
    const path = `/shared-files/node/${target}/${name}?${world.sender.query(content)}`
    const status = await world.sender.post(relay, path, content).catch(() => undefined)
    if (status === undefined) return
    if (status === 200 || status === 202) ledger.acknowledge(name, version)
    // A relay that stops may say so.
    else if (status === 503) return
    else world.faults.push(`an upload was answered ${status}`)
  }
}

/** Sends half of a file, and the rest never. */
const sendingHalf = (world: World, relay: Relay): Promise<void> =>
  new Promise((resolve) => {
    const content = Buffer.alloc(2_000_000, "half\n")
    const path = `/shared-files/node/t/half?${world.sender.query(content)}`
    const headers = { "content-length": content.length }
    const request = Http.request(`${relay.url}${path}`, { agent: false, method: "POST", headers })
    request.on("error", () => resolve())
    request.on("response", (response) =>
      response
        .resume()
        .on("error", () => {})
        .on("close", resolve)
    )
    request.write(content.subarray(0, 1_000_000))
  })

/** Starts runs of all nodes until there is nobody to ask. */
const running = async (world: World, relay: Relay): Promise<void> => {
  for (;;) {
    const { status, body } = await curl("-d", "async=yes", `${relay.url}/remote-run/all`).catch(() => ({
      status: 0,
      body: ""
    }))
    if (status !== 202) return
    const [run] = events(body)
    world.runs.set(String(run?.id), nodeCount + 2)
    // One whose output is followed, and left.
    await fetch(`${relay.url}/remote-run/nodes?nodes=n0,n1&output=keep&async=yes`)
      .then((response) => response.text())
      .catch(() => "")
  }
}

const load = (world: World, relay: Relay, kind: Kind): ReadonlyArray<Promise<void>> => {
  const many = (of: Kind) => Array.from({ length: kind === of ? 8 : 2 }, (_, i) => i)
  return [
    sendingHalf(world, relay),
    ...many("uploads").map((i) => sending(world, relay, "t", `near-${i}`)),
    ...many("deliveries").map((i) => sending(world, relay, "far", `far-${i}`)),
    ...many("runs")
      .slice(0, kind === "runs" ? 3 : 1)
      .map(() => running(world, relay))
  ]
}

/** What is acknowledged and stored here: each file that is there, or was to be there. */
const checkStored = ({ near, faults }: World, directory: string): void => {
  for (const name of near.acknowledged()) {
    const place = join(directory, "shared-files/t/files/c", name)
    try {
      const fault = near.fault(name, readFileSync(place), fieldsOf(place).digest ?? "")
      if (fault !== undefined) faults.push(fault)
    } catch (error) {
      faults.push(`${name}: ${error}`)
    }
  }
}

/** Every run that was acknowledged is there, over, with one end for each of its nodes. */
const checkRuns = async ({ runs, faults }: World, relay: Relay): Promise<void> => {
  for (const [id, count] of runs) {
    const url = `${relay.url}/remote-run/runs/${id}`
    const { status, body } = await curl(url)
    if (status !== 200) {
      faults.push(`run ${id}: ${status} ${body}`)
      continue
    }
    const ends = events((await curl(`${url}/output?format=ndjson`)).body).filter(
      ({ event }) => event === "end"
    )
    const names = new Set(ends.map(({ node }) => node))
    const { running } = JSON.parse(body)
    if (ends.length !== count || names.size !== count || running !== 0)
      faults.push(`run ${id}: ${ends.length} ends of ${names.size} of ${count} nodes, ${running} running`)
  }
  runs.clear()
}

/** How long a start takes, at most. */
let slowest = 0

const listening = async (launched: Launched, left: ReadonlyArray<string>): Promise<Relay> => {
  const began = performance.now()
  const relay = await launched.listening()
  slowest = Math.max(slowest, performance.now() - began)
  const missed = () => {
    const there = new Set(temporaryFiles(relay.directory))
    return left.filter((entry) => there.has(entry))
  }
  await until(`what a kill left is removed: ${left.join(", ")}`, () => missed().length === 0, 10)
  return relay
}

/** How many files were acknowledged so far, of those that a kind of life is about; of others, how many runs. */
const acknowledgements = ({ near, far, runs }: World, kind: Kind): number => {
  if (kind === "uploads") return near.counts().acknowledged
  if (kind === "deliveries") return far.counts().acknowledged
  return near.counts().acknowledged + far.counts().acknowledged + runs.size
}

/** One life, from its start to its kill. */
const live = async (world: World, kind: Kind, left: ReadonlyArray<string>): Promise<void> => {
  const { luck, options } = world
  const launched = launch(options)
  if (kind === "start") {
    await after(luck.below(700))
  } else {
    const relay = await listening(launched, left)
    checkStored(world, relay.directory)
    await checkRuns(world, relay)
    const before = acknowledgements(world, kind)
    const loads = load(world, relay, kind)
    // However slow the machine is, there is something to lose.
    await until("something is acknowledged", () => acknowledgements(world, kind) > before)
    await after(luck.below(2000))
    if (kind === "stop") {
      relay.kill("SIGTERM")
      await after(luck.below(400))
    }
    launched.kill("SIGKILL")
    await launched.exited
    await Promise.all(loads)
  }
  launched.kill("SIGKILL")
  await launched.exited
}

describe("a daemon that is killed", () => {
  it(
    "takes its processes along, starts again at once, and has lost nothing that it acknowledged",
    async () => {
      const luck = chance()
      console.log(`E2E_SEED=${luck.seed}`)
      const server = await startPolicyServer(identity)
      const directory = prepare()
      const temporaryOne = temporaryFolder(directory)
      folder = temporaryOne.folder
      const far = newLedger(c)
      const taken = new Map<string, string | undefined>()
      server.answer(({ fileId, content, header }) => {
        taken.set(fileId, far.fault(fileId, content, header.digest ?? ""))
        return luck.below(10) === 0 ? { status: 503 } : { status: 200 }
      })
      const world: World = {
        options: {
          directory,
          env: temporaryOne.env,
          nodes: tree(),
          agent: 'echo "begin $host"; sleep 0.2; echo "end $host" > /dev/stderr',
          config: {
            general: { node_id: "relay", https_port: server.port },
            "output.upstream": { host: "127.0.0.1", server_certificate_file: identity.certificate },
            shared_files: { forward_wait: "50ms", min_free: 0 },
            "shared_files.retry": { initial: "20ms", max: "200ms" }
          }
        },
        luck,
        server,
        sender: bulkSender(c, 32),
        near: newLedger(c),
        far,
        runs: new Map(),
        faults: []
      }
      let left: ReadonlyArray<string> = []
      const kindOf: Array<Kind> = []
      for (let round = 0; round < rounds; round++) {
        // Each kind has its turn; the order is chance.
        const kind = kinds[round % kinds.length] ?? "start"
        kindOf.push(kind)
        await live(world, kind, left)
        await allGone(folder, 10).catch((error) => {
          throw new Error(`round ${round}, killed in ${kind}: ${error}`)
        })
        left = temporaryFiles(directory)
        expect({ round, kind, faults: world.faults }).toEqual({ round, kind, faults: [] })
      }
      const last = await listening(launch(world.options), left)
      checkStored(world, directory)
      await checkRuns(world, last)
      await retryAll(last)
      await until("nothing waits", async () => (await entriesOf(last)).length === 0)
      const lost = far.acknowledged().filter((name) => !taken.has(name))
      const wrong = [...taken.values()].filter((fault) => fault !== undefined)
      expect({ faults: world.faults, lost, wrong }).toEqual({ faults: [], lost: [], wrong: [] })
      expect(await last.stop()).toBe(0)
      await allGone(folder, 10)
      expect(temporary(directory)).toEqual([])
      world.sender.close()
      const [nearCounts, farCounts] = [world.near.counts(), far.counts()]
      expect(nearCounts.acknowledged).toBeGreaterThan(0)
      expect(farCounts.acknowledged).toBeGreaterThan(0)
      console.log(
        `${rounds} × kill -9: ${nearCounts.acknowledged} of ${nearCounts.begun} uploads and ${farCounts.acknowledged} of ` +
          `${farCounts.begun} for elsewhere acknowledged; the slowest start took ${slowest.toFixed(0)} ms`
      )
    },
    120_000 + rounds * 30_000
  )
})
