// What the speed of an outbox is compared with: files of a folder are read, sent and removed, and nothing else is seen to.
// sendByHand.mjs FOLDER PORT COUNT CONNECTIONS BYTES: prints how many seconds it took.
import { mkdir, readFile, rm, writeFile } from "node:fs/promises"
import { Agent, request } from "node:https"
import { join } from "node:path"

const [folder, ...figures] = process.argv.slice(2)
const [port, count, connections, bytes] = figures.map(Number)
const agent = new Agent({ keepAlive: true, maxSockets: connections, rejectUnauthorized: false })
const entry = (at) => join(folder, String(at))

const put = (at, header, content) =>
  new Promise((resolve, reject) => {
    const path = `/rudder/relay-api/shared-files/by-hand/c/${at}?ttl=36500d`
    const headers = { "content-length": header.length + content.length }
    const sent = request({ agent, port, path, host: "127.0.0.1", method: "PUT", headers }, (response) =>
      response.resume().once("end", resolve)
    )
    sent.on("error", reject)
    sent.write(header)
    sent.end(content)
  })

const deliver = async (at) => {
  const header = await readFile(join(entry(at), "request"))
  await put(at, header, await readFile(join(entry(at), "content")))
  await rm(entry(at), { recursive: true })
}

const all = async (work) => {
  let next = 0
  const worker = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: connections }, worker))
}

await all(async (at) => {
  await mkdir(entry(at), { recursive: true })
  await writeFile(join(entry(at), "request"), "header=rudder-signature-v1\n\n".padStart(1500, "x"))
  await writeFile(join(entry(at), "content"), Buffer.alloc(bytes, "x"))
})
const began = performance.now()
await all(deliver)
console.log((performance.now() - began) / 1000)
agent.destroy()
