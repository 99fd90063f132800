// The thread of `CommitThread.ts`, which has this text in it. It takes `{ id, commits }`, each commit an array of steps
// (`DiskStep` of `Disk.ts`), and answers `{ id, failures }`, of each commit null, or `{ message, code }`.
//
// All commits of a batch go on as far as something is to be synced; then that is synced side by side, a folder once for all
// that wait for it. Files that a commit writes one behind the other are synced together: no step comes between them.
import * as fs from "node:fs"
import { parentPort } from "node:worker_threads"

const { O_WRONLY, O_CREAT, O_EXCL, O_RDONLY, O_DIRECTORY, O_NONBLOCK } = fs.constants

/** So many of node's threads, of which there are four, may be at a sync at once. */
const mostSyncs = 3

/** The file, where it is still to be synced. */
const write = ({ path, mode, bytes, modified }) => {
  const file = fs.openSync(path, O_WRONLY | O_CREAT | O_EXCL, mode)
  let isLeft = false
  try {
    if ((fs.fstatSync(file).mode & 0o777) !== mode) fs.fchmodSync(file, mode)
    const all = typeof bytes === "string" ? Buffer.from(bytes) : bytes
    for (let from = 0; from < all.length; ) from += fs.writeSync(file, all, from)
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

/** A commit goes on as far as something that is to be synced: files that it wrote, or a folder. */
const goOn = (commit) => {
  commit.files = []
  commit.folder = undefined
  for (; commit.failure === null && commit.at < commit.steps.length; commit.at++) {
    const step = commit.steps[commit.at]
    if (step._tag === "Write") {
      commit.failure = failureOf(() => {
        const file = write(step)
        if (file !== undefined) commit.files.push(file)
      })
      continue
    }
    if (commit.files.length > 0) return
    if (step._tag === "SyncFolder") {
      commit.folder = step.path
      commit.at++
      return
    }
    commit.failure = failureOf(() => performs[step._tag](step))
  }
}

let syncs = 0
const waiting = []

/** Syncs what is open, and closes it; gives what failed, or null. */
const sync = (file) =>
  new Promise((resolve) => {
    const begin = () => {
      syncs++
      fs.fsync(file, (error) => {
        syncs--
        waiting.shift()?.()
        const unclosed = failureOf(() => fs.closeSync(file))
        resolve(error === null ? unclosed : { message: error.message, code: error.code })
      })
    }
    if (syncs < mostSyncs) begin()
    else waiting.push(begin)
  })

const syncFiles = (commit) =>
  commit.files.map(async (file) => {
    const failure = await sync(file)
    commit.failure ??= failure
  })

/** For all commits that wait for it. */
const syncFolder = async (path, commits) => {
  let folder
  const unopened = failureOf(() => {
    folder = fs.openSync(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK)
  })
  const failure = unopened ?? (await sync(folder))
  for (const commit of commits) commit.failure ??= failure
}

const handle = async ({ id, commits: given }) => {
  const commits = given.map((steps) => ({ steps, at: 0, failure: null, files: [], folder: undefined }))
  while (true) {
    for (const commit of commits) goOn(commit)
    const folders = Array.from(grouped(commits), ([path, all]) => syncFolder(path, all))
    const underWay = [...commits.flatMap(syncFiles), ...folders]
    if (underWay.length === 0) break
    await Promise.all(underWay)
  }
  parentPort.postMessage({ id, failures: commits.map(({ failure }) => failure) })
}

/** Those that wait for a folder, by its path. */
const grouped = (commits) => {
  const folders = new Map()
  for (const commit of commits) {
    if (commit.folder === undefined) continue
    const all = folders.get(commit.folder)
    if (all === undefined) folders.set(commit.folder, [commit])
    else all.push(commit)
  }
  return folders
}

parentPort.on("message", handle)
