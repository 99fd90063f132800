// The least that a durable upload takes: what the relay has to write, written and synced, put into place and the folder
// synced; nothing verified, decided or logged. Where uploads wait for the same at the same time, one sync serves them.
//
// durable.mjs FOLDER [entries]: the content and its metadata beside it, as in the store, with a record of where both go,
// without which a stop could part them; or, as in the outbox, the two in one file in one of 4,096 folders.
import { createHash, randomUUID } from "node:crypto"
import { mkdir, open, rename } from "node:fs/promises"
import { createServer } from "node:http"
import { join } from "node:path"

const [root, kind = "files"] = process.argv.slice(2)
const temporary = join(root, "~tmp")
const files = join(root, "files")
await mkdir(temporary, { recursive: true })
await mkdir(files)

/** What is being synced, and the sync that is to follow that, by path. */
const syncs = new Map()

const syncFolderNow = async (path) => {
  const folder = await open(path)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** One sync for all that wait for it: what comes while one is under way waits for the next. */
const share = (path, sync) => {
  const known = syncs.get(path)
  if (known?.next !== undefined) return known.next
  const begin = () => {
    const state = { running: undefined, next: undefined }
    syncs.set(path, state)
    state.running = sync(path).finally(() => {
      if (state.next === undefined) syncs.delete(path)
    })
    return state.running
  }
  if (known === undefined) return begin()
  known.next = known.running.then(begin, begin)
  return known.next
}

const syncFolder = (path) => share(path, syncFolderNow)

const create = (path) => open(path, "wx", 0o640)

/** Puts this into a new file, on the disk, and closes it. */
const written = async (file, content) => {
  try {
    await file.write(content)
    await file.sync()
  } finally {
    await file.close()
  }
}

const metadata = Buffer.alloc(1000, "m")

const log = kind === "files" ? await open(join(temporary, "log"), "w", 0o640) : undefined
/** Where there is place in the log. */
const free = []
let places = 0

/** Puts a record of a move into its place, on the disk. */
const noted = async (text, place) => {
  const record = Buffer.alloc(4096)
  record.write(text)
  await log.write(record, 0, record.length, place * record.length)
  await share("log", () => log.datasync())
}

const keepFile = async (name, content) => {
  const path = join(temporary, randomUUID())
  const place = free.pop() ?? places++
  const [file, beside] = await Promise.all([create(path), create(`${path}.metadata`)])
  await Promise.all([
    written(file, content),
    written(beside, metadata),
    noted(`${path} ${name}`, place),
    syncFolder(temporary)
  ])
  await rename(`${path}.metadata`, join(files, `${name}.metadata`))
  await rename(path, join(files, name))
  await syncFolder(files)
  free.push(place)
}

const shards = new Map()

/** Makes one of the folders, once. */
const shardOf = (key) => {
  const path = join(files, key.slice(0, 3))
  const made = shards.get(path) ?? mkdir(path).then(() => syncFolder(files))
  shards.set(path, made)
  return made.then(() => path)
}

const keepTogether = async (path, content) => written(await create(path), Buffer.concat([content, metadata]))

const keepEntry = async (name, content) => {
  const path = join(temporary, randomUUID())
  const key = createHash("sha256").update(name).digest("hex").slice(0, 32)
  const [shard] = await Promise.all([shardOf(key), keepTogether(path, content)])
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
