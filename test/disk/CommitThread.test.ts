/** Commits by a thread, beside the same steps done one by one. */
import { once } from "node:events"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Worker } from "node:worker_threads"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, FastCheck, Fiber } from "effect"
import * as CommitThread from "../../src/disk/CommitThread.ts"
import source from "../../src/disk/commits.mjs?raw"
import type { DiskStep } from "../../src/disk/Disk.ts"
import { make as makeDisk } from "../../src/disk/NodeDisk.ts"
import { temporaryFolder } from "../support/Folders.ts"

const place = FastCheck.constantFrom("a/x", "a/y", "b/x", "b/y", "none/x")
const folder = FastCheck.constantFrom("a", "b", "none")

/** A step, in a folder that is named later. */
const step: FastCheck.Arbitrary<(root: string) => DiskStep> = FastCheck.oneof(
  FastCheck.tuple(
    place,
    FastCheck.oneof(FastCheck.uint8Array(), FastCheck.string()),
    FastCheck.constantFrom(0o600, 0o640, 0o666),
    FastCheck.constantFrom(86_400_000, undefined)
  ).map(
    ([path, bytes, mode, modified]) =>
      (root: string): DiskStep => ({
        _tag: "Write",
        path: `${root}/${path}`,
        mode,
        bytes,
        modified
      })
  ),
  FastCheck.tuple(
    FastCheck.constantFrom("a/log", "b/log", "none/log"),
    FastCheck.constantFrom(0, 10, 4096),
    FastCheck.uint8Array(),
    FastCheck.constantFrom({}, { length: 20 }, { length: 4096 })
  ).map(
    ([path, at, bytes, place]) =>
      (root: string): DiskStep => ({
        _tag: "Note",
        path: `${root}/${path}`,
        mode: 0o640,
        at,
        bytes,
        ...place
      })
  ),
  FastCheck.tuple(place, place).map(
    ([from, to]) =>
      (root: string): DiskStep => ({ _tag: "Rename", from: `${root}/${from}`, to: `${root}/${to}` })
  ),
  folder.map(
    (path) =>
      (root: string): DiskStep => ({ _tag: "SyncFolder", path: `${root}/${path}` })
  ),
  FastCheck.tuple(folder, FastCheck.constantFrom(0o700, 0o750)).map(
    ([path, mode]) =>
      (root: string): DiskStep => ({ _tag: "MakeFolder", path: `${root}/${path}`, mode })
  ),
  folder.map(
    (path) =>
      (root: string): DiskStep => ({ _tag: "DiscardFolder", path: `${root}/${path}` })
  ),
  FastCheck.tuple(FastCheck.constantFrom("Discard" as const, "Remove" as const), place).map(
    ([_tag, path]) =>
      (root: string): DiskStep => ({ _tag, path: `${root}/${path}` })
  )
)

const newRoot = Effect.map(temporaryFolder, (root) => {
  fs.mkdirSync(`${root}/a`)
  fs.mkdirSync(`${root}/b`)
  return root
})

/** What there is, with modes and contents; with times, where all was done. */
const listed = (root: string, withTimes: boolean) =>
  fs
    .readdirSync(root)
    .sort()
    .flatMap((name) => [
      [name, fs.statSync(`${root}/${name}`).mode & 0o777],
      ...fs
        .readdirSync(`${root}/${name}`)
        .sort()
        .map((file) => {
          const path = `${root}/${name}/${file}`
          const { mode, mtimeMs } = fs.statSync(path)
          // What is not synced has whatever time it was written at.
          const modified = withTimes && mtimeMs === 86_400_000 ? mtimeMs : undefined
          return [`${name}/${file}`, mode & 0o777, modified, fs.readFileSync(path).toString("hex")]
        })
    ])

const codeOf = (exit: Exit.Exit<void, { readonly code: string | undefined }>) =>
  Exit.match(exit, {
    onSuccess: () => "done",
    onFailure: (cause) => (cause._tag === "Fail" ? cause.error.code : cause._tag)
  })

interface Watched {
  /** What was asked of the system, in the order in which it was done. */
  readonly calls: ReadonlyArray<string>
  /** How many syncs were under way at once, at most. */
  readonly most: number
}

/** What the thread's own text does where `UV_THREADPOOL_SIZE` is this. */
const watched = async (
  commits: ReadonlyArray<ReadonlyArray<DiskStep>>,
  poolSize?: string
): Promise<Watched> => {
  const text = source
    .replace(
      'import * as fs from "node:fs"',
      `import * as real from "node:fs"
      const paths = new Map()
      const calls = []
      let [underWay, most] = [0, 0]
      const beginsSync = () => {
        most = Math.max(most, ++underWay)
      }
      const endsSync = (file) => {
        underWay--
        calls.push("sync " + paths.get(file))
      }
      const fs = {
        ...real,
        openSync: (path, ...more) => {
          const file = real.openSync(path, ...more)
          paths.set(file, path)
          return file
        },
        fsync: (file, done) => {
          beginsSync()
          real.fsync(file, (error) => {
            endsSync(file)
            done(error)
          })
        },
        fdatasync: (file, done) => {
          beginsSync()
          real.fdatasync(file, (error) => {
            endsSync(file)
            done(error)
          })
        },
        renameSync: (from, to) => {
          calls.push("rename " + from)
          real.renameSync(from, to)
        }
      }`
    )
    .replace("parentPort.postMessage({ id,", "parentPort.postMessage({ calls, most, id,")
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(text)}`), {
    env: poolSize === undefined ? {} : { UV_THREADPOOL_SIZE: poolSize }
  })
  try {
    const answered = once(worker, "message")
    worker.postMessage({ id: 1, commits: CommitThread.flat(commits) })
    const [{ calls, failures, most }] = await answered
    expect(failures).toEqual(commits.map(() => null))
    return { calls, most }
  } finally {
    await worker.terminate()
  }
}

describe("a commit by a thread", () => {
  it.scopedLive.prop(
    "does what its steps do one by one, and fails as they do",
    [FastCheck.array(step, { maxLength: 8 })],
    ([steps]) =>
      Effect.gen(function* () {
        const [one, other] = [yield* newRoot, yield* newRoot]
        const sequence = yield* CommitThread.make
        const done = yield* Effect.exit(sequence(steps.map((at) => at(one))))
        const expected = yield* Effect.exit(makeDisk(fs).sequence(steps.map((at) => at(other))))
        expect(codeOf(done)).toBe(codeOf(expected))
        const isDone = codeOf(done) === "done"
        expect(listed(one, isDone)).toEqual(listed(other, isDone))
      }).pipe(Effect.asVoid),
    { fastCheck: { numRuns: 25 } }
  )

  it.scopedLive(
    "is one of many: each ends as it does alone, though they share the syncs of their folders",
    () =>
      Effect.gen(function* () {
        const root = yield* newRoot
        const sequence = yield* CommitThread.make
        const commit = (at: number) =>
          sequence([
            {
              _tag: "Write",
              path: `${root}/a/${at}`,
              mode: 0o600,
              bytes: Buffer.from(String(at)),
              modified: 0
            },
            { _tag: "SyncFolder", path: at % 3 === 0 ? `${root}/none` : `${root}/a` },
            { _tag: "Rename", from: `${root}/a/${at}`, to: `${root}/b/${at}` },
            { _tag: "SyncFolder", path: `${root}/b` }
          ])
        const ends = yield* Effect.forEach(
          Array.from({ length: 40 }, (_, at) => at),
          (at) => Effect.map(Effect.exit(commit(at)), codeOf),
          { concurrency: "unbounded" }
        )
        expect(ends).toEqual(ends.map((_, at) => (at % 3 === 0 ? "ENOENT" : "done")))
        expect(fs.readdirSync(`${root}/b`)).toHaveLength(ends.filter((end) => end === "done").length)
      })
  )

  it.scopedLive("makes a folder, or leaves the one that is there, and takes nothing else for one", () =>
    Effect.gen(function* () {
      const root = yield* newRoot
      fs.chmodSync(`${root}/a`, 0o711)
      fs.writeFileSync(`${root}/file`, "")
      fs.symlinkSync(`${root}/a`, `${root}/link`)
      const disks = [
        { name: "one", sequence: yield* CommitThread.make },
        { ...makeDisk(fs), name: "other" }
      ]
      for (const { name, sequence } of disks) {
        const make = (path: string) =>
          Effect.map(
            Effect.exit(sequence([{ _tag: "MakeFolder", path: `${root}/${path}`, mode: 0o750 }])),
            codeOf
          )
        expect(yield* Effect.forEach([name, "a", "file", "link", "none/x"], make)).toEqual([
          "done",
          "done",
          "EFTYPE",
          "EFTYPE",
          "ENOENT"
        ])
        expect(fs.statSync(`${root}/${name}`).mode & 0o777).toBe(0o750)
        expect(fs.statSync(`${root}/a`).mode & 0o777).toBe(0o711)
      }
    })
  )

  it.scopedLive("has a full batch done while the turn of the event loop that brought it still goes on", () =>
    Effect.gen(function* () {
      const root = yield* newRoot
      const sequence = yield* CommitThread.make
      const rename = (from: string, to: string) =>
        sequence([{ _tag: "Rename", from: `${root}/${from}`, to: `${root}/${to}` }])
      fs.writeFileSync(`${root}/0`, "")
      yield* rename("0", "begun")
      for (let at = 1; at <= 16; at++) fs.writeFileSync(`${root}/${at}`, "")
      const commits = Array.from({ length: 16 }, (_, at) => Effect.runFork(rename(`${at + 1}`, `done-${at}`)))
      const deadline = performance.now() + 20_000
      while (!fs.existsSync(`${root}/done-15`) && performance.now() < deadline);
      const isDone = fs.existsSync(`${root}/done-15`)
      yield* Fiber.joinAll(commits)
      expect(isDone).toBe(true)
    })
  )

  it.scopedLive("finds what is in a file's place, and follows no link to a file", () =>
    Effect.gen(function* () {
      const root = yield* newRoot
      fs.writeFileSync(`${root}/file`, "")
      fs.symlinkSync(`${root}/file`, `${root}/link`)
      for (const { sequence } of [{ sequence: yield* CommitThread.make }, makeDisk(fs)]) {
        const check = (path: string) =>
          Effect.map(Effect.exit(sequence([{ _tag: "CheckFile", path: `${root}/${path}` }])), codeOf)
        expect(yield* Effect.forEach(["none", "none/x", "file", "a", "link"], check)).toEqual([
          "done",
          "done",
          "done",
          "EFTYPE",
          "EFTYPE"
        ])
      }
    })
  )

  it("syncs as many files at once as node has threads, but for one", async () => {
    const root = fs.mkdtempSync(join(tmpdir(), "commit-thread-"))
    try {
      const mostBy = async (poolSize: string | undefined) => {
        const steps = Array.from(
          { length: 20 },
          (_, at): DiskStep => ({
            _tag: "Write",
            path: `${root}/${poolSize}-${at}`,
            mode: 0o600,
            bytes: "x",
            modified: 0
          })
        )
        const { calls, most } = await watched([steps], poolSize)
        expect(calls).toHaveLength(steps.length)
        return most
      }
      expect(await Promise.all([undefined, "16", "2", "1", "none"].map(mostBy))).toEqual([3, 15, 1, 1, 1])
    } finally {
      fs.rmSync(root, { recursive: true })
    }
  })

  it("has on the disk what its steps say, before it does the next one", async () => {
    const root = fs.mkdtempSync(join(tmpdir(), "commit-thread-"))
    try {
      fs.mkdirSync(`${root}/a`)
      fs.mkdirSync(`${root}/b`)
      const write = (path: string, modified: number | undefined): DiskStep => ({
        _tag: "Write",
        path: `${root}/${path}`,
        mode: 0o600,
        bytes: path,
        modified
      })
      const commit = (name: string): ReadonlyArray<DiskStep> => [
        write(`a/${name}1`, 0),
        write(`a/${name}2`, 0),
        write(`a/${name}3`, undefined),
        { _tag: "Note", path: `${root}/a/log`, mode: 0o640, at: 4096, bytes: Buffer.from(name) },
        { _tag: "SyncFolder", path: `${root}/a` },
        { _tag: "Rename", from: `${root}/a/${name}1`, to: `${root}/b/${name}1` },
        { _tag: "SyncFolder", path: `${root}/b` },
        { _tag: "Rename", from: `${root}/a/${name}2`, to: `${root}/b/${name}2` },
        { _tag: "SyncFolder", path: `${root}/a` },
        write(`b/${name}4`, 0),
        { _tag: "Rename", from: `${root}/b/${name}4`, to: `${root}/a/${name}4` }
      ]
      const done = (await watched([commit("x"), commit("y")])).calls.map((call) =>
        call.replaceAll(`${root}/`, "")
      )
      for (const name of ["x", "y"]) {
        const at = (call: string) => done.indexOf(call)
        const [first, second] = [`rename a/${name}1`, `rename a/${name}2`]
        expect(done).not.toContain(`sync a/${name}3`)
        for (const file of [`sync a/${name}1`, `sync a/${name}2`, "sync a/log", "sync a"]) {
          expect(done).toContain(file)
          expect(at(file)).toBeLessThan(at(first))
        }
        const between = done.slice(at(first), at(second))
        expect(between).toContain("sync b")
        expect(done.slice(at(second))).toContain("sync a")
        expect(at(`sync b/${name}4`)).toBeLessThan(at(`rename b/${name}4`))
        expect(done).toContain(`sync b/${name}4`)
      }
      // The two share the syncs of their folders, and that of the log.
      expect(done.filter((call) => ["sync a", "sync b", "sync a/log"].includes(call)).sort()).toEqual([
        "sync a",
        "sync a",
        "sync a/log",
        "sync b"
      ])
    } finally {
      fs.rmSync(root, { recursive: true })
    }
  })

  it.scopedLive("is told its own end, also where a later batch has ended before", () =>
    Effect.gen(function* () {
      const sequence = yield* CommitThread.make
      const root = yield* newRoot
      // A full batch, which waits for the disk; what comes behind it fails at once.
      const written = Array.from({ length: 16 }, (_, at) =>
        sequence([{ _tag: "Write", path: `${root}/a/${at}`, mode: 0o600, bytes: "text", modified: 0 }])
      )
      const moved = sequence([{ _tag: "Rename", from: `${root}/a/none`, to: `${root}/b/none` }])
      const ends = yield* Effect.forEach([...written, moved], (each) => Effect.exit(each), {
        concurrency: "unbounded"
      })
      expect(ends.map(Exit.isSuccess)).toEqual([...written.map(() => true), false])
    })
  )
})
