// The thread of `CommitThread.ts`, which has this text in it. It takes `{ id, commits }`, each commit an array of steps
// (`DiskStep` of `Disk.ts`), and answers `{ id, failures }`, of each commit null, or `{ message, code }`.
//
// All commits of a batch go on as far as something is to be synced; then that is synced side by side, a folder or a log once
// for all that wait for it. What a commit writes one behind the other, and the folders that it syncs behind that, are synced
// together: none of these steps changes what another one of them is about.
import * as fs from "node:fs"
import { parentPort } from "node:worker_threads"

const { O_WRONLY, O_CREAT, O_EXCL, O_RDONLY, O_DIRECTORY, O_NONBLOCK, O_NOFOLLOW } = fs.constants

/** How many threads node has for the disk, as it reads that itself: four where nothing is said. */
const threads = Number.parseInt(process.env.UV_THREADPOOL_SIZE ?? "4", 10) || 1

/** So many syncs at once leave one of them to everything else. */
const mostSyncs = Math.max(threads - 1, 1)

const bytesOf = (bytes) => (typeof bytes === "string" ? Buffer.from(bytes) : bytes)

/** With zeros behind them, where they are shorter. */
const padded = (given, length = 0) => {
  const bytes = bytesOf(given)
  return bytes.length < length ? Buffer.concat([bytes], length) : bytes
}

const put = (file, bytes, at) => {
  const all = bytesOf(bytes)
  for (let from = 0; from < all.length; )
    from += fs.writeSync(file, all, from, all.length - from, at === null ? null : at + from)
}

const giveMode = (file, mode) => {
  if ((fs.fstatSync(file).mode & 0o777) !== mode) fs.fchmodSync(file, mode)
}

/** The file, where it is still to be synced. */
const write = ({ path, mode, bytes, modified }) => {
  const file = fs.openSync(path, O_WRONLY | O_CREAT | O_EXCL, mode)
  let isLeft = false
  try {
    giveMode(file, mode)
    put(file, bytes, null)
    if (modified === undefined) return undefined
    fs.futimesSync(file, modified / 1000, modified / 1000)
    isLeft = true
    return file
  } finally {
    if (!isLeft) fs.closeSync(file)
  }
}

const makeFolder = ({ path, mode }) => {
  try {
    fs.mkdirSync(path, { mode })
  } catch (error) {
    if (error.code === "EEXIST") return
    throw error
  }
  const made = fs.lstatSync(path).mode
  if ((made & 0o777) !== mode) fs.chmodSync(path, (made & 0o7000) | mode)
}

const remove = (path) => {
  try {
    fs.unlinkSync(path)
  } catch (error) {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error
  }
}

const discard = (path) => {
  try {
    fs.unlinkSync(path)
  } catch {}
}

const discardFolder = (path) => {
  try {
    for (const name of fs.readdirSync(path)) fs.unlinkSync(`${path}/${name}`)
    fs.rmdirSync(path)
  } catch {}
}

const performs = {
  MakeFolder: makeFolder,
  Rename: ({ from, to }) => fs.renameSync(from, to),
  Remove: ({ path }) => remove(path),
  Discard: ({ path }) => discard(path),
  DiscardFolder: ({ path }) => discardFolder(path)
}

/** What a step threw, or null. */
const failureOf = (step) => {
  try {
    step()
    return null
  } catch ({ message, code }) {
    return { message, code }
  }
}

/** The log of a note: open, and opened once for all of a batch. */
const logOf = ({ path, mode }, logs) => {
  const known = logs.get(path)
  if (known !== undefined) return known
  const file = fs.openSync(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, mode)
  const log = { file, commits: [] }
  logs.set(path, log)
  giveMode(file, mode)
  return log
}

/** A commit goes on as far as something that is to be synced: what it wrote, and folders. */
const goOn = (commit, logs) => {
  commit.files = []
  commit.folders = []
  let isNoted = false
  for (; commit.failure === null && commit.at < commit.steps.length; commit.at++) {
    const step = commit.steps[commit.at]
    if (step._tag === "SyncFolder") commit.folders.push(step.path)
    else if (commit.folders.length > 0) return
    else if (step._tag === "Write")
      commit.failure = failureOf(() => {
        const file = write(step)
        if (file !== undefined) commit.files.push(file)
      })
    else if (step._tag === "Note") {
      isNoted = true
      commit.failure = failureOf(() => {
        const log = logOf(step, logs)
        log.commits.push(commit)
        put(log.file, padded(step.bytes, step.length), step.at)
      })
    } else if (commit.files.length > 0 || isNoted) return
    else commit.failure = failureOf(() => performs[step._tag](step))
  }
}

let syncs = 0
const waiting = []

/** Syncs what is open by `how`, and closes it; gives what failed, or null. */
const sync = (file, how) =>
  new Promise((resolve) => {
    const begin = () => {
      syncs++
      how(file, (error) => {
        syncs--
        waiting.shift()?.()
        const unclosed = failureOf(() => fs.closeSync(file))
        resolve(error === null ? unclosed : { message: error.message, code: error.code })
      })
    }
    if (syncs < mostSyncs) begin()
    else waiting.push(begin)
  })

const failAll = (commits, failure) => {
  for (const commit of commits) commit.failure ??= failure
}

const syncFiles = (commit) => commit.files.map(async (file) => failAll([commit], await sync(file, fs.fsync)))

/** For all commits that wrote to it. Its length is synced too, and no time of it matters. */
const syncLog = async ({ file, commits }) => failAll(commits, await sync(file, fs.fdatasync))

/** For all commits that wait for it. */
const syncFolder = async (path, commits) => {
  let folder
  const unopened = failureOf(() => {
    folder = fs.openSync(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK)
  })
  failAll(commits, unopened ?? (await sync(folder, fs.fsync)))
}

const handle = async ({ id, commits: given }) => {
  const commits = given.map((steps) => ({ steps, at: 0, failure: null, files: [], folders: [] }))
  while (true) {
    const logs = new Map()
    for (const commit of commits) goOn(commit, logs)
    const underWay = [
      ...commits.flatMap(syncFiles),
      ...Array.from(logs.values(), syncLog),
      ...Array.from(grouped(commits), ([path, all]) => syncFolder(path, all))
    ]
    if (underWay.length === 0) break
    await Promise.all(underWay)
  }
  parentPort.postMessage({ id, failures: commits.map(({ failure }) => failure) })
}

/** Those that wait for a folder, by its path. One that has failed waits for none. */
const grouped = (commits) => {
  const folders = new Map()
  for (const commit of commits) {
    if (commit.failure !== null) continue
    for (const path of commit.folders) {
      const all = folders.get(path)
      if (all === undefined) folders.set(path, [commit])
      else all.push(commit)
    }
  }
  return folders
}

parentPort.on("message", handle)
