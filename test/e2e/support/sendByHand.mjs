// What the speed of an outbox is compared with: files of a folder are read, sent and removed, and nothing else is seen to.
// sendByHand.mjs FOLDER PORT COUNT CONNECTIONS BYTES: prints how many seconds it took.
import { mkdir, readFile, unlink, writeFile } from "node:fs/promises"
import { Agent, request } from "node:https"
import { join } from "node:path"

const [folder, ...figures] = process.argv.slice(2)
const [port, count, connections, bytes] = figures.map(Number)
const agent = new Agent({ keepAlive: true, maxSockets: connections, rejectUnauthorized: false })
const entry = (at) => join(folder, String(at))

const header = Buffer.from("header=rudder-signature-v1\n\n".padStart(1500, "x"))

const put = (at, content) =>
  new Promise((resolve, reject) => {
    const path = `/rudder/relay-api/shared-files/by-hand/c/${at}?ttl=36500d`
    const headers = { "content-length": header.length + bytes }
    const sent = request({ agent, port, path, host: "127.0.0.1", method: "PUT", headers }, (response) =>
      response.resume().once("end", resolve)
    )
    sent.on("error", reject)
    sent.write(content.subarray(bytes))
    sent.end(content.subarray(0, bytes))
  })

const deliver = async (at) => {
  await put(at, await readFile(entry(at)))
  await unlink(entry(at))
}

const all = async (work) => {
  let next = 0
  const worker = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: connections }, worker))
}

await mkdir(folder, { recursive: true })
await all((at) => writeFile(entry(at), Buffer.concat([Buffer.alloc(bytes, "x"), header])))
const began = performance.now()
await all(deliver)
console.log((performance.now() - began) / 1000)
agent.destroy()
