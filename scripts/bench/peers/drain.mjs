// The least that sending waiting files on takes: each is read, its record and content are sent by PUT, and it is removed.
import { readdir, readFile, unlink } from "node:fs/promises"
import { Agent, request } from "node:http"
import { join } from "node:path"

const [outbox, port, atOnce] = process.argv.slice(2)
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
const worker = async () => {
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [path, name] = next
    const all = await readFile(path)
    const size = Number(name.split("-")[2])
    await put(`/${name}`, Buffer.concat([all.subarray(size), Buffer.from("\n"), all.subarray(0, size)]))
    await unlink(path)
  }
}
const count = waiting.length
const before = process.cpuUsage()
const began = performance.now()
await Promise.all(Array.from({ length: Number(atOnce) }, worker))
const { user, system } = process.cpuUsage(before)
agent.destroy()
console.log(JSON.stringify({ seconds: (performance.now() - began) / 1000, cpu: (user + system) / count }))
