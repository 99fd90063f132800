// The least that a durable upload takes: what the relay has to write, written and synced, put into place and the folder
// synced; nothing verified, decided or logged. Where uploads wait for a folder at the same time, one sync serves them.
//
// durable.mjs FOLDER [entries]: the content and its metadata beside it, as in the store; or, as in the outbox, the two in
// one file in one of 4,096 folders.
import { createHash, randomUUID } from "node:crypto"
import { mkdir, open, rename } from "node:fs/promises"
import { createServer } from "node:http"
import { join } from "node:path"

const [root, kind = "files"] = process.argv.slice(2)
const temporary = join(root, "~tmp")
const place = join(root, "files")
await mkdir(temporary, { recursive: true })
await mkdir(place)

/** Folders with a sync that is under way, and one that is to follow it. */
const folders = new Map()

const syncNow = async (path) => {
  const folder = await open(path)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** One sync for all that wait for it: what comes while one is under way waits for the next. */
const syncFolder = (path) => {
  const known = folders.get(path)
  if (known?.next !== undefined) return known.next
  const begin = () => {
    const state = { running: undefined, next: undefined }
    folders.set(path, state)
    state.running = syncNow(path).finally(() => {
      if (state.next === undefined) folders.delete(path)
    })
    return state.running
  }
  if (known === undefined) return begin()
  known.next = known.running.then(begin, begin)
  return known.next
}

const written = async (path, content) => {
  const file = await open(path, "wx", 0o640)
  try {
    await file.write(content)
    await file.sync()
  } finally {
    await file.close()
  }
}

const metadata = Buffer.alloc(1000, "m")

const keepFile = async (name, content) => {
  const path = join(temporary, randomUUID())
  await Promise.all([written(path, content), written(`${path}.metadata`, metadata)])
  await rename(`${path}.metadata`, join(place, `${name}.metadata`))
  await rename(path, join(place, name))
  await syncFolder(place)
}

const shards = new Map()

/** Makes one of the folders, once. */
const shardOf = (key) => {
  const path = join(place, key.slice(0, 3))
  const made = shards.get(path) ?? mkdir(path).then(() => syncFolder(place))
  shards.set(path, made)
  return made.then(() => path)
}

const keepEntry = async (name, content) => {
  const path = join(temporary, randomUUID())
  const key = createHash("sha256").update(name).digest("hex").slice(0, 32)
  const [shard] = await Promise.all([shardOf(key), written(path, Buffer.concat([content, metadata]))])
  await rename(path, join(shard, key))
  await syncFolder(shard)
}

const keep = kind === "entries" ? keepEntry : keepFile

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
