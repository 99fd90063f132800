// The least that sending waiting files on takes: each one's record and content read, sent by PUT, moved away and removed.
import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises"
import { Agent, request } from "node:http"
import { join } from "node:path"

const [outbox, port, atOnce] = process.argv.slice(2)
const entries = join(outbox, "entries")
const temporary = join(outbox, "gone")
await mkdir(temporary)
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
    const [folder, name] = next
    const record = await readFile(join(folder, "request"))
    await put(`/${name}`, Buffer.concat([record, Buffer.from("\n"), await readFile(join(folder, "content"))]))
    await rename(folder, join(temporary, name))
    await rm(join(temporary, name), { recursive: true })
  }
}
const count = waiting.length
const before = process.cpuUsage()
const began = performance.now()
await Promise.all(Array.from({ length: Number(atOnce) }, worker))
const { user, system } = process.cpuUsage(before)
agent.destroy()
console.log(JSON.stringify({ seconds: (performance.now() - began) / 1000, cpu: (user + system) / count }))
