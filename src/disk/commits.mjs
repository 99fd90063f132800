// The thread of `CommitThread.ts`, which has this text in it. It takes `{ id, commits }`, the steps of these (`DiskStep` of
// `Disk.ts`) in one flat list, and answers `{ id, failures }`, of each commit null, or `{ message, code }`.
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

const inTheWay = (path) =>
  Object.assign(new Error(`${path} is in the way: a link, or another thing than belongs there`), {
    code: "EFTYPE"
  })

const checkFile = (path) => {
  const found = fs.lstatSync(path, { throwIfNoEntry: false })
  if (found !== undefined && !found.isFile()) throw inTheWay(path)
}

const makeFolder = ({ path, mode }) => {
  let isNew = true
  try {
    fs.mkdirSync(path, { mode })
  } catch (error) {
    if (error.code !== "EEXIST") throw error
    isNew = false
  }
  const found = fs.lstatSync(path)
  if (!found.isDirectory()) throw inTheWay(path)
  if (isNew && (found.mode & 0o777) !== mode) fs.chmodSync(path, (found.mode & 0o7000) | mode)
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
  CheckFile: ({ path }) => checkFile(path),
  MakeFolder: makeFolder,
  Rename: ({ path, to }) => fs.renameSync(path, to),
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

/** The commits that wait for a folder. */
const waitingFor = (path, folders) => {
  const known = folders.get(path)
  if (known !== undefined) return known
  const commits = []
  folders.set(path, commits)
  return commits
}

/** A commit goes on as far as something that is to be synced: what it wrote, and folders. */
const goOn = (commit, { files, logs, folders }) => {
  let isWritten = false
  let isFolder = false
  for (; commit.failure === null && commit.at < commit.steps.length; commit.at++) {
    const step = commit.steps[commit.at]
    if (step._tag === "SyncFolder") {
      isFolder = true
      waitingFor(step.path, folders).push(commit)
    } else if (isFolder) return
    else if (step._tag === "Write")
      commit.failure = failureOf(() => {
        const file = write(step)
        if (file === undefined) return
        isWritten = true
        files.push({ file, commits: [commit] })
      })
    else if (step._tag === "Note") {
      isWritten = true
      commit.failure = failureOf(() => {
        const log = logOf(step, logs)
        log.commits.push(commit)
        put(log.file, padded(step.bytes, step.length), step.at)
      })
    } else if (isWritten) return
    else commit.failure = failureOf(() => performs[step._tag](step))
  }
}

const failAll = (commits, failure) => {
  for (const commit of commits) commit.failure ??= failure
}

let syncs = 0
const waiting = []

/** Syncs what is open by `how`, for these commits of a batch, and closes it. */
const begin = (wanted) => {
  const { how, file, commits, batch } = wanted
  syncs++
  how(file, (error) => {
    syncs--
    if (waiting.length > 0) begin(waiting.shift())
    const unclosed = failureOf(() => fs.closeSync(file))
    failAll(commits, error === null ? unclosed : { message: error.message, code: error.code })
    ended(batch)
  })
}

const sync = (wanted) => {
  wanted.batch.left++
  if (syncs < mostSyncs) begin(wanted)
  else waiting.push(wanted)
}

const syncFolder = (path, commits, batch) => {
  let file
  const unopened = failureOf(() => {
    file = fs.openSync(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK)
  })
  if (unopened === null) sync({ how: fs.fsync, file, commits, batch })
  else failAll(commits, unopened)
}

/** All commits of a batch go on, until there is nothing left that is to be synced. */
const goOnAll = (batch) => {
  const found = { files: [], logs: new Map(), folders: new Map() }
  for (const commit of batch.commits) goOn(commit, found)
  const { files, logs, folders } = found
  if (files.length + logs.size + folders.size === 0) {
    const { id, commits } = batch
    parentPort.postMessage({ id, failures: commits.map(({ failure }) => failure) })
    return
  }
  // One more than there are syncs: they have not ended before all have begun.
  batch.left = 1
  for (const { file, commits } of files) sync({ how: fs.fsync, file, commits, batch })
  // The length of a log is synced too, and no time of it matters.
  for (const { file, commits } of logs.values()) sync({ how: fs.fdatasync, file, commits, batch })
  for (const [path, commits] of folders) syncFolder(path, commits, batch)
  ended(batch)
}

/** The last sync of a batch has it go on. */
const ended = (batch) => {
  if (--batch.left === 0) goOnAll(batch)
}

/** The commits that `CommitThread.flat` has made one list of: all of their steps have the same fields. */
const commitsOf = (told) => {
  const commits = []
  for (let next = 0; next < told.length; ) {
    const steps = []
    for (let left = told[next++]; left > 0; left--)
      steps.push({
        _tag: told[next++],
        path: told[next++],
        to: told[next++],
        mode: told[next++],
        bytes: told[next++],
        modified: told[next++],
        at: told[next++],
        length: told[next++]
      })
    commits.push({ steps, at: 0, failure: null })
  }
  return commits
}

parentPort.on("message", ({ id, commits }) => {
  goOnAll({ id, commits: commitsOf(commits), left: 0 })
})
