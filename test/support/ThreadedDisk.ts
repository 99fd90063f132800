/** A disk in memory whose commits are done by what `CommitThread` runs: by the text of its thread, many of them at once. */
import { runInThisContext } from "node:vm"
import { Effect } from "effect"
import { flat } from "../../src/disk/CommitThread.ts"
import source from "../../src/disk/commits.mjs?raw"
import { DiskError, type DiskService, type DiskStep } from "../../src/disk/Disk.ts"
import type { CrashingDisk } from "../../src/testing/CrashingDisk.ts"
import { newFile, newFolder } from "../../src/testing/DiskContents.ts"

interface Commit {
  readonly steps: ReadonlyArray<DiskStep>
  readonly ended: (outcome: Effect.Effect<void, DiskError>) => void
}

interface Batch {
  readonly id: number
  readonly commits: ReturnType<typeof flat>
}

interface Answer {
  readonly id: number
  readonly failures: ReadonlyArray<{ readonly message: string; readonly code?: string } | null>
}

interface Port {
  readonly on: (event: "message", handle: (batch: Batch) => void) => void
  readonly postMessage: (answer: Answer) => void
}

/** The thread's text, with its two imports as parameters. */
const begin: (fs: object, parentPort: Port) => void = runInThisContext(
  `(fs, parentPort) => {${source.replace(/^import .*$/gm, "")}\n}`
)

/** Node's calls as the thread makes them: each at once, and counted and failed as those of this disk are. */
const callsOf = (crashing: CrashingDisk): object => {
  // What a test's disk does by a thread of node's, the commits' thread does at once: only the disk's own parts tell how.
  // biome-ignore-start lint/complexity/useLiteralKeys: these are private
  const contents = crashing["contents"]
  const opened = crashing["opened"]
  const node = crashing["node"]()
  const now = crashing["now"].bind(crashing)
  // biome-ignore-end lint/complexity/useLiteralKeys: these are private
  const remove =
    (kind: "unlink" | "rmdir", call: (path: string) => void) =>
    (path: string): void =>
      now({ kind, paths: [path] }, () => {
        call(path)
        contents.change(contents.entry(path, undefined))
      })
  return {
    ...node,
    openSync: (path: string, flags: number, mode?: number) => {
      if (mode === undefined) return node.openSync(path, flags)
      return now({ kind: "open", paths: [path] }, () => {
        const descriptor = contents.fs.openSync(path, flags, mode)
        const found = contents.at(path)
        const file = found ?? newFile(mode)
        if (found === undefined) contents.change(contents.entry(path, file))
        opened.set(descriptor, { path, node: file })
        return descriptor
      })
    },
    mkdirSync: (path: string, { mode }: { readonly mode: number }) =>
      now({ kind: "mkdir", paths: [path] }, () => {
        contents.fs.mkdirSync(path, { mode })
        contents.change(contents.entry(path, newFolder(mode)))
      }),
    renameSync: (from: string, to: string) =>
      now({ kind: "rename", paths: [from, to] }, () => {
        // As in `CrashingDisk`: memfs goes on counting what a rename replaces.
        if (contents.at(from)?.kind === "file" && contents.at(to)?.kind === "file") contents.fs.unlinkSync(to)
        contents.fs.renameSync(from, to)
        contents.change(contents.entry(from, undefined), contents.entry(to, contents.at(from)))
      }),
    unlinkSync: remove("unlink", (path) => contents.fs.unlinkSync(path)),
    rmdirSync: remove("rmdir", (path) => contents.fs.rmdirSync(path)),
    chmodSync: (path: string, mode: number) => contents.fs.chmodSync(path, mode)
  }
}

/** As many as `CommitThread` has under way. */
const mostBatches = 2

/** How what is on a disk commits to it. */
export type Commits = (crashing: CrashingDisk) => DiskService

/** One step after the other, as `Sequence` does them. */
export const oneByOne: Commits = ({ disk }) => disk

/** The same disk with the thread's commits. */
export const threaded: Commits = (crashing) => {
  const batches = new Map<number, ReadonlyArray<Commit>>()
  const waiting: Array<Commit> = []
  let ids = 0
  let handle = (_: Batch): void => {}

  const handOut = () => {
    if (waiting.length === 0 || batches.size >= mostBatches) return
    const commits = waiting.splice(0)
    const id = ++ids
    batches.set(id, commits)
    const message = structuredClone({ id, commits: flat(commits.map(({ steps }) => steps)) })
    setImmediate(() => handle(message))
  }
  const told = ({ id, failures }: Answer) => {
    const commits = batches.get(id) ?? []
    batches.delete(id)
    handOut()
    for (const [at, { ended }] of commits.entries()) {
      const failure = failures[at]
      ended(failure == null ? Effect.void : new DiskError({ message: failure.message, code: failure.code }))
    }
  }
  begin(callsOf(crashing), {
    on: (_, given) => {
      handle = given
    },
    postMessage: (answer) => void setImmediate(() => told(answer))
  })
  return {
    ...crashing.disk,
    sequence: (steps) =>
      Effect.uninterruptible(
        Effect.async((resume) => {
          waiting.push({ steps, ended: resume })
          handOut()
        })
      )
  }
}
