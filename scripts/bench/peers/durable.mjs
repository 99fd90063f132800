// The least that a durable upload takes: the content and its metadata beside it, each written and synced, put into place
// and the folder synced, as the relay has to; nothing verified, decided or logged. Where uploads wait for the folder at the
// same time, one sync serves them.
import { randomUUID } from "node:crypto"
import { mkdir, open, rename } from "node:fs/promises"
import { createServer } from "node:http"
import { join } from "node:path"

const [root] = process.argv.slice(2)
const temporary = join(root, "~tmp")
const place = join(root, "files")
await mkdir(temporary, { recursive: true })
await mkdir(place)
const folder = await open(place)

let syncing
let waiting
const syncFolder = () => {
  waiting ??= (syncing ?? Promise.resolve()).then(() => {
    waiting = undefined
    syncing = folder.sync()
    return syncing
  })
  return waiting
}

const written = async (content) => {
  const path = join(temporary, randomUUID())
  const file = await open(path, "wx", 0o640)
  try {
    await file.write(content)
    await file.sync()
  } finally {
    await file.close()
  }
  return path
}

const keep = async (name, content) => {
  const [file, metadata] = await Promise.all([written(content), written(Buffer.alloc(500, "m"))])
  await rename(metadata, join(place, `${name}.metadata`))
  await rename(file, join(place, name))
  await syncFolder()
}

const server = createServer((request, response) => {
  const chunks = []
  request.on("data", (chunk) => chunks.push(chunk))
  request.on("end", async () => {
    const name = new URL(request.url, "http://localhost").pathname.split("/").at(-1)
    await keep(name, Buffer.concat(chunks))
    response.writeHead(200, { "content-length": 0 })
    response.end()
  })
})
server.listen(0, "127.0.0.1", () => console.log(server.address().port))
process.once("SIGTERM", () => process.exit(0))
