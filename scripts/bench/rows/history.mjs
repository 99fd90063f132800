// The list of runs, by how many are kept: 10² and 10⁴.
import { createHash, randomBytes } from "node:crypto"
import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { get, memory, newFolder, nodes, reading, relay, sleep } from "../support.mjs"

/** A record of a journal, as `JournalRecord` has it. */
const record = (kind, node, event) => {
  const payload = Buffer.from(JSON.stringify(event))
  const header = Buffer.alloc(24 + node.length)
  header.writeUInt16BE(0x524a, 0)
  header.writeUInt8(kind, 2)
  header.writeUInt8(node.length, 4)
  header.writeUInt32BE(payload.length, 8)
  header.write(node, 24, "latin1")
  return Buffer.concat([header, payload])
}

const nodeName = (i) => {
  const hex = createHash("sha256").update(String(i)).digest("hex")
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`
}

const idAt = (millis) => {
  const time = Math.floor(millis).toString(16).padStart(12, "0")
  const random = randomBytes(10).toString("hex")
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-8${random.slice(3, 6)}-${random.slice(6, 18)}`
}

const names = Array.from({ length: 5000 }, (_, i) => nodeName(i))

/** Keeps runs, spread over six days, each of so many nodes out of 5,000. */
const keep = (directory, count, nodesOfRun) => {
  const now = Date.now()
  for (let i = 0; i < count; i++) {
    const started = now - ((i + 1) / count) * 6 * 24 * 3600 * 1000
    const id = idAt(started)
    const own = Array.from({ length: nodesOfRun }, (_, n) => names[(i * nodesOfRun + n) % names.length])
    const time = join(directory, id.slice(0, 6))
    mkdirSync(time, { recursive: true, mode: 0o700 })
    const head = {
      id,
      started: new Date(started).toISOString(),
      output: "discard",
      classes: [],
      nodes: nodesOfRun
    }
    writeFileSync(
      join(time, `${id}.run`),
      Buffer.concat([
        record(1, "", { ...head, by: { address: "127.0.0.1", actor: i % 100 === 0 ? "ann" : "bob" } }),
        record(2, "", { event: "run", id, nodes: own, unknown: [], classes: [] }),
        ...own.map((node) => record(6, node, { event: "end", node, code: 0, duration: 1, stderr: "" })),
        record(7, "", { event: "done", ok: nodesOfRun, failed: 0, duration: 1 })
      ])
    )
  }
}

const indexedBytes = (directory) =>
  readdirSync(directory)
    .filter((name) => /^[0-9a-f]{6}$/.test(name))
    .reduce(
      (sum, time) => sum + (statSync(join(directory, time, "index"), { throwIfNoEntry: false })?.size ?? 0),
      0
    )

/** A start makes the indexes of runs that have none: until they do not grow any more. */
const indexed = async (directory) => {
  let before = -1
  for (let seconds = 0; seconds < 300; seconds++) {
    await sleep(1000)
    const now = indexedBytes(directory)
    if (now > 0 && now === before) return
    before = now
  }
  throw new Error(`the runs in ${directory} are not indexed after five minutes`)
}

const requests = 20

const searches = [
  ["history", "", "the first page"],
  ["history-node", `&node=${names[4321]}`, "by a node that few were for"],
  ["history-nobody", "&node=nobody", "by a node that none was for"],
  ["history-actor", "&actor=ann", "by who asked"]
]

/** A relay with so many kept runs of twenty nodes each. */
const withKept = async (count) => {
  const directory = newFolder()
  keep(join(directory, "runs"), count, 20)
  const here = await relay(nodes(1), { remote_run: 'max_size = "10GiB"\n' }, { directory })
  await indexed(join(directory, "runs"))
  return here
}

const counts = [100, 10_000]
const nameOf = (count) => `${count.toLocaleString("en-US")} runs`

const listing = ([name, query, what]) => ({
  name,
  what: `the list of kept runs, ${what}`,
  aims: [{ figure: "time", of: nameOf(10_000), most: 100 }],
  rounds: 3,
  prepare: async (scope) => {
    const subjects = {}
    for (const count of counts) {
      const here = scope(await withKept(count))
      const list = () => get(`${here.url}/remote-run/runs?limit=50${query}`)
      subjects[nameOf(count)] = async () => {
        const { cpu, rate } = await reading(
          requests,
          async () => {
            for (let i = 0; i < requests; i++) await list()
          },
          here.pid
        )
        return { time: 1000 / rate, cpu, memory: memory(here.pid, "VmRSS") }
      }
    }
    return subjects
  }
})

export default searches.map(listing)
