/** Commits by a thread, beside the same steps done one by one. */
import * as fs from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, FastCheck } from "effect"
import * as CommitThread from "../../src/disk/CommitThread.ts"
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
  place.map(
    (path) =>
      (root: string): DiskStep => ({ _tag: "Discard", path: `${root}/${path}` })
  )
)

const newRoot = Effect.map(temporaryFolder, (root) => {
  fs.mkdirSync(`${root}/a`)
  fs.mkdirSync(`${root}/b`)
  return root
})

/** What there is, with modes, times and contents. */
const listed = (root: string) =>
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
          const modified = mtimeMs === 86_400_000 ? mtimeMs : undefined
          return [`${name}/${file}`, mode & 0o777, modified, fs.readFileSync(path).toString("hex")]
        })
    ])

const codeOf = (exit: Exit.Exit<void, { readonly code: string | undefined }>) =>
  Exit.match(exit, {
    onSuccess: () => "done",
    onFailure: (cause) => (cause._tag === "Fail" ? cause.error.code : cause._tag)
  })

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
        expect(listed(one)).toEqual(listed(other))
      }).pipe(Effect.asVoid),
    { fastCheck: { numRuns: 20 } }
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
})
