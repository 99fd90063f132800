import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { join, relative } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Folders from "../../src/disk/Folders.ts"
import { make as makeDisk } from "../../src/disk/NodeDisk.ts"
import { temporaryFolder } from "../support/Folders.ts"

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
