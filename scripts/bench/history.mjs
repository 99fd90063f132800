// The list of runs, by how many are kept.
import { createHash, randomBytes } from "node:crypto"
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { folder, memory, nodes, row, withRelay } from "./support.mjs"

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
  for (let before = -1, now = 0; now !== before || now === 0; ) {
    before = now
    await new Promise((resolve) => setTimeout(resolve, 1000))
    now = indexedBytes(directory)
  }
}

/** What a process has worked so far. Milliseconds of CPU. */
const worked = (pid) => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ")
  return (Number(fields[11]) + Number(fields[12])) * 10
}

const requests = 40

const searches = {
  "the first page": "",
  "by a node that few were for": `&node=${names[4321]}`,
  "by a node that none was for": "&node=nobody",
  "by who asked": "&actor=ann"
}

const measure = async (count, nodesOfRun) => {
  const directory = join(folder, `kept-${count}`)
  keep(directory, count, nodesOfRun)
  const config =
    `[general]\nnode_id = "root"\nlisten = "127.0.0.1:0"\nnodes_list_file = "${folder}/nodes.json"\n` +
    `[remote_run]\nuse_sudo = false\ncommand = "/bin/true"\ndirectory = "${directory}"\nmax_size = "10GiB"\n`
  return withRelay(nodes(1), config, async ({ url, pid }) => {
    await indexed(directory)
    const times = {}
    for (const [name, query] of Object.entries(searches)) {
      const list = async () => (await fetch(`${url}/remote-run/runs?limit=50${query}`)).text()
      for (let i = 0; i < 10; i++) await list()
      const before = worked(pid)
      for (let i = 0; i < requests; i++) await list()
      times[name] = (worked(pid) - before) / requests
    }
    return { times, memory: memory(pid, "VmRSS"), bytes: indexedBytes(directory) }
  })
}

/** Rows of 10² against 10⁴ kept runs of a hundred nodes each. */
export const history = async () => {
  const few = await measure(100, 100)
  const many = await measure(10_000, 100)
  for (const name of Object.keys(searches))
    row(
      `list of 10,000 kept runs, ${name}`,
      `${many.times[name].toFixed(1)} ms of work = ${(many.times[name] / few.times[name]).toFixed(1)} × that of 100`
    )
  row(
    "memory with 10,000 kept runs",
    `${many.memory.toFixed(0)} MiB (of 100: ${few.memory.toFixed(0)}); their indexes ${(many.bytes / 2 ** 20).toFixed(1)} MiB on the disk`
  )
}
