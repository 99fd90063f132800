// The least that sending waiting files on takes: each is read, its record and content are sent by PUT, and it is removed.
//
// drain.mjs OUTBOX PORT AT-ONCE BEFORE: what it prints is of those behind the first so many.
import { readdir, readFile, unlink } from "node:fs/promises"
import { Agent, request } from "node:http"
import { join } from "node:path"

const [outbox, port, atOnce, before] = process.argv.slice(2)
const entries = join(outbox, "entries")
const agent = new Agent({ keepAlive: true })
const waiting = []
for (const shard of await readdir(entries))
  for (const name of await readdir(join(entries, shard))) waiting.push([join(entries, shard, name), name])

const put = (path, content) =>
  new Promise((resolve, reject) => {
    const sent = request({ agent, port, method: "PUT", path }, (answer) =>
      answer.resume().once("end", resolve)
    )
    sent.once("error", reject)
    sent.end(content)
  })
const count = waiting.length - Number(before)
let removed = 0
let began
let worked
const beginMeasuring = () => {
  began = performance.now()
  worked = process.cpuUsage()
}
if (count === waiting.length) beginMeasuring()
const worker = async () => {
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [path, name] = next
    const all = await readFile(path)
    const size = Number(name.split("-")[2])
    await put(`/${name}`, Buffer.concat([all.subarray(size), Buffer.from("\n"), all.subarray(0, size)]))
    await unlink(path)
    if (++removed === Number(before)) beginMeasuring()
  }
}
await Promise.all(Array.from({ length: Number(atOnce) }, worker))
const { user, system } = process.cpuUsage(worked)
agent.destroy()
console.log(JSON.stringify({ seconds: (performance.now() - began) / 1000, cpu: (user + system) / count }))
