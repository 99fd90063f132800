import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { join, relative } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Folders from "../../src/disk/Folders.ts"
import * as Looks from "../../src/disk/Looks.ts"
import { make as makeDisk } from "../../src/disk/NodeDisk.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { eventually } from "../support/Until.ts"

const disk = makeDisk(fs)
const modeOf = (path: string): number => fs.statSync(path).mode & 0o7777

/** What is made while the umask is this one. */
const withUmask = (umask: number) =>
  Effect.acquireRelease(
    Effect.sync(() => process.umask(umask)),
    (before) => Effect.sync(() => process.umask(before))
  )

const foldersAt = (root: string) => Folders.make(disk, { root, mode: 0o750, within: [Folders.temporaryName] })

describe("folders of the relay's", () => {
  it.scopedLive("and files in them have their modes whatever the umask", () =>
    Effect.gen(function* () {
      const root = join(yield* temporaryFolder, "a", "b")
      yield* withUmask(0o077)
      const folders = foldersAt(root)
      yield* folders.prepare
      const made = yield* folders.make(["target", "source"])
      const file = yield* disk.create(join(made, "file"), 0o640)
      yield* file.close
      for (const folder of [join(root, ".."), root, folders.temporary, join(root, "target"), made])
        expect(modeOf(folder).toString(8)).toBe("750")
      expect(modeOf(join(made, "file")).toString(8)).toBe("640")
    })
  )

  it.scopedLive("leave their group to what is made in them, where an administrator wants that", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      fs.chmodSync(root, 0o2750)
      yield* withUmask(0o077)
      yield* foldersAt(root).prepare
      expect(modeOf(join(root, "~tmp")).toString(8)).toBe("2750")
    })
  )

  it.scopedLive("are made where their path is a relative one", () =>
    Effect.gen(function* () {
      const root = join(yield* temporaryFolder, "not", "there")
      const folders = foldersAt(relative(process.cwd(), root))
      yield* folders.prepare
      expect(folders.root).toBe(root)
      expect(fs.statSync(join(root, "~tmp")).isDirectory()).toBe(true)
    })
  )

  it.scopedLive("have what is in their way told, and nobody waits for it: a pipe", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      execFileSync("mkfifo", [join(root, "~tmp")])
      expect(yield* Effect.flip(foldersAt(root).prepare)).toMatchObject({ code: "EFTYPE" })
      expect(yield* Effect.flip(foldersAt(root).make(["~tmp"]))).toMatchObject({ code: "EFTYPE" })
      expect(yield* Effect.flip(disk.syncFolder(join(root, "~tmp")))).toMatchObject({ code: "ENOTDIR" })
    })
  )
})

/** Folders on the disk; `looked` is where they looked. */
const lookingFolders = (root: string, now: (() => number) | undefined) => {
  const looked: Array<string> = []
  const looking = {
    ...disk,
    look: (path: string) => {
      looked.push(relative(root, path))
      return disk.look(path)
    }
  }
  const settings = { root, mode: 0o750, within: [], ...(now === undefined ? {} : { now }) }
  return { looked, folders: Folders.make(looking, settings) }
}

/** The same, as if all that is there had changed long ago. */
const settledFolders = (root: string) => lookingFolders(root, () => Date.now() + 60_000)

/** Changes a folder until its time tells that it was changed: the system's clock goes in steps. */
const changing = (folder: string, change: () => void) =>
  eventually(() => {
    const before = fs.lstatSync(folder).ctimeMs
    change()
    return fs.lstatSync(folder).ctimeMs !== before
  }, `the time of ${folder} is another`)

describe("the folders below a root", () => {
  it.scopedLive("are looked at by turns, where those between are known from the folder above them", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      fs.mkdirSync(join(root, "a/b/c/d"), { recursive: true })
      const { folders, looked } = settledFolders(root)
      const names = ["a", "b", "c", "d"]
      for (let time = 0; time < 3; time++) expect(yield* folders.find(names)).toBe(join(root, "a/b/c/d"))
      expect(looked).toEqual([...["a", "a/b", "a/b/c", "a/b/c/d"], ...["a", "a/b/c"], ...["a", "a/b/c"]])
    })
  )

  it.scopedLive("are all looked at where what is above them changed just now, or there is no clock", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      fs.mkdirSync(join(root, "a/b"), { recursive: true })
      for (const now of [() => fs.lstatSync(join(root, "a")).ctimeMs + 500, undefined]) {
        const { folders, looked } = lookingFolders(root, now)
        for (let time = 0; time < 3; time++) expect(yield* folders.find(["a", "b"])).toBe(join(root, "a/b"))
        expect(looked).toHaveLength(6)
      }
    })
  )

  it.scopedLive(
    "are looked at by turns where they were made, and not followed where they have become links",
    () =>
      Effect.gen(function* () {
        const root = yield* temporaryFolder
        const { folders, looked } = settledFolders(root)
        for (let time = 0; time < 4; time++) expect(yield* folders.make(["a", "b"])).toBe(join(root, "a/b"))
        // The first time they are made.
        expect(looked).toEqual(["a", "a/b", "a", "a"])
        yield* changing(join(root, "a"), () => {
          fs.rmSync(join(root, "a/b"), { recursive: true, force: true })
          fs.symlinkSync(root, join(root, "a/b"))
        })
        expect(folders.made(["a", "b"])).toBeUndefined()
        expect(yield* Effect.flip(folders.make(["a", "b"]))).toMatchObject({ code: "EFTYPE" })
      })
  )

  it.scopedLive("are looked at once by those who share their looks, as long as they do", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const folders = foldersAt(root)
      yield* folders.make(["a", "b"])
      const looked: Array<string> = []
      const look = (path: string) => {
        looked.push(relative(root, path))
        return disk.look(path)
      }
      const looksOf = Looks.ofBatches({ look }, Date.now)
      const batch = { isGoing: true }
      for (let time = 0; time < 3; time++)
        expect(folders.made(["a", "b"], looksOf(batch))).toBe(join(root, "a/b"))
      expect(looked).toEqual(["a", "a/b"])
      batch.isGoing = false
      fs.rmdirSync(join(root, "a/b"))
      expect(folders.made(["a", "b"], looksOf(batch))).toBeUndefined()
    })
  )

  it.scopedLive("are never followed where they have become links, to what was there before too", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const names = ["a", "b", "c"]
      for (const name of names) {
        const at = join(root, name)
        fs.mkdirSync(join(at, "a/b/c"), { recursive: true })
        const { folders } = settledFolders(at)
        for (let time = 0; time < 2; time++) expect(yield* folders.find(names)).toBe(join(at, "a/b/c"))
        const path = join(at, names.slice(0, names.indexOf(name) + 1).join("/"))
        yield* changing(join(path, ".."), () => {
          if (fs.lstatSync(path).isSymbolicLink()) fs.unlinkSync(path)
          else fs.renameSync(path, join(root, `moved-${name}`))
          fs.symlinkSync(join(root, `moved-${name}`), path)
        })
        expect(yield* Effect.flip(folders.find(names))).toMatchObject({ code: "EFTYPE" })
      }
    })
  )

  it.scopedLive("are not there any more where one of them was removed", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const names = ["a", "b", "c"]
      fs.mkdirSync(join(root, "a/b/c"), { recursive: true })
      const { folders } = settledFolders(root)
      for (let time = 0; time < 2; time++) expect(yield* folders.find(names)).toBe(join(root, "a/b/c"))
      fs.rmdirSync(join(root, "a/b/c"))
      expect(yield* folders.find(names)).toBeUndefined()
      yield* changing(join(root, "a"), () => {
        fs.rmSync(join(root, "a/b"), { recursive: true, force: true })
        fs.mkdirSync(join(root, "a/x"))
        fs.rmdirSync(join(root, "a/x"))
      })
      expect(yield* folders.find(["a", "b"])).toBeUndefined()
    })
  )
})
