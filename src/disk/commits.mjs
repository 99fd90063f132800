// A thread of `CommitThreads.ts`, which has this text in it. It takes an array of commits, each an array of steps
// (`DiskStep` of `Disk.ts`), and answers with an array of how each ended: null, or `{ message, code }`. Commits that wait
// for the sync of one folder share it.
import * as fs from "node:fs"
import { parentPort } from "node:worker_threads"

const { O_WRONLY, O_CREAT, O_EXCL, O_RDONLY, O_DIRECTORY, O_NONBLOCK } = fs.constants

const write = ({ path, mode, bytes, modified }) => {
  const file = fs.openSync(path, O_WRONLY | O_CREAT | O_EXCL, mode)
  try {
    if ((fs.fstatSync(file).mode & 0o777) !== mode) fs.fchmodSync(file, mode)
    const all = typeof bytes === "string" ? Buffer.from(bytes) : bytes
    for (let from = 0; from < all.length; ) from += fs.writeSync(file, all, from)
    if (modified === undefined) return
    fs.futimesSync(file, modified / 1000, modified / 1000)
    fs.fsyncSync(file)
  } finally {
    fs.closeSync(file)
  }
}

const syncFolder = (path) => {
  const folder = fs.openSync(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK)
  try {
    fs.fsyncSync(folder)
  } finally {
    fs.closeSync(folder)
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
  Write: write,
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

/** A commit goes on as far as the next folder that is to be synced. */
const goOn = (commit) => {
  for (; commit.failure === null && commit.at < commit.steps.length; commit.at++) {
    const step = commit.steps[commit.at]
    if (step._tag === "SyncFolder") return step.path
    commit.failure = failureOf(() => performs[step._tag](step))
  }
  return undefined
}

const handle = (batch) => {
  const commits = batch.map((steps) => ({ steps, at: 0, failure: null, waitsFor: undefined }))
  for (const commit of commits) commit.waitsFor = goOn(commit)
  for (let next = commits.find(isWaiting); next !== undefined; next = commits.find(isWaiting)) {
    const path = next.waitsFor
    const failure = failureOf(() => syncFolder(path))
    for (const commit of commits) {
      if (commit.waitsFor !== path) continue
      commit.failure = failure
      commit.at++
      commit.waitsFor = goOn(commit)
    }
  }
  parentPort.postMessage(commits.map(({ failure }) => failure))
}

const isWaiting = ({ waitsFor }) => waitsFor !== undefined

parentPort.on("message", handle)
