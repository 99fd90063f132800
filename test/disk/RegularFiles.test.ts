import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { join } from "node:path"
import { FileSystem } from "@effect/platform"
import { NodeFileSystem } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { DiskError } from "../../src/disk/Disk.ts"
import * as RegularFiles from "../../src/disk/RegularFiles.ts"
import { temporaryFolder } from "../support/Folders.ts"

const layer = Layer.provide(RegularFiles.layer, NodeFileSystem.layer)

/** Whoever waits for the other end of a pipe waits no more. */
const letGo = (path: string) =>
  Effect.sync(() => fs.closeSync(fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_NONBLOCK)))

describe("a pipe in place of a file that was configured", () => {
  it.scopedLive("is not opened, however it is read or written", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "nodeslist.json")
      execFileSync("mkfifo", [path])
      yield* Effect.addFinalizer(() => letGo(path))
      const files = yield* FileSystem.FileSystem
      for (const opening of [
        Effect.asVoid(files.readFile(path)),
        Effect.asVoid(files.readFileString(path)),
        Effect.asVoid(files.open(path, { flag: "r" })),
        Effect.asVoid(files.open(path, { flag: "a" })),
        files.writeFileString(path, "{}")
      ]) {
        const outcome = yield* Effect.timeoutFail(Effect.flip(opening), {
          duration: "10 seconds",
          onTimeout: () => new DiskError({ message: "it hangs", code: undefined })
        })
        expect(outcome).toMatchObject({ _tag: "SystemError", reason: "BadResource" })
      }
    }).pipe(Effect.provide(layer))
  )

  it.scopedLive("is none where there is a file, or nothing yet", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "nodeslist.json")
      const files = yield* FileSystem.FileSystem
      yield* files.writeFileString(path, "{}")
      expect(yield* files.readFileString(path)).toBe("{}")
      expect(yield* Effect.flip(files.readFile(`${path}.none`))).toMatchObject({ reason: "NotFound" })
      expect(yield* files.readFileString("/dev/null")).toBe("")
    }).pipe(Effect.provide(layer))
  )
})
