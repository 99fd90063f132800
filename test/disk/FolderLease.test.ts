import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import { join } from "node:path"
import { describe, expect, it, vi } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { layer, lockName } from "../../src/disk/FolderLease.ts"
import { Lease } from "../../src/disk/Lease.ts"
import { temporaryFolder } from "../support/Folders.ts"

/** As another relay would: by a file that it opens itself. */
const take = (folder: string) => Effect.flatMap(Lease, (lease) => lease.take(folder))

const ended = (child: ChildProcess) =>
  Effect.promise(() => new Promise<void>((resolve) => child.once("exit", () => resolve())))

/** Ends it when the test does. */
const started = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] })),
    (child) =>
      Effect.sync(() => {
        child.stdin?.end()
        child.kill("SIGKILL")
      })
  )

/** The first that it prints. */
const word = (child: ChildProcess) =>
  Effect.promise(
    () => new Promise<string>((resolve) => child.stdout?.once("data", (bytes) => resolve(`${bytes}`)))
  )

describe("a lease on a folder", () => {
  it.scopedLive("is one relay's until its scope ends, and says whose it is", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const scope = yield* Scope.make()
      yield* Scope.extend(take(folder), scope)
      const error = yield* Effect.flip(take(folder))
      expect(error).toMatchObject({ _tag: "FolderTaken" })
      expect(error).toMatchObject({ holder: expect.stringContaining(`process ${process.pid} on `) })
      yield* Scope.close(scope, Exit.void)
      yield* take(folder)
      expect(fs.statSync(join(folder, lockName)).mode & 0o777).toBe(0o600)
    }).pipe(Effect.provide(layer))
  )

  it.scopedLive("is not inherited by a process that was started meanwhile and goes on", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const scope = yield* Scope.make()
      yield* Scope.extend(take(folder), scope)
      const child = yield* started("sh", "-c", "echo started; exec sleep 300")
      expect(yield* word(child)).toContain("started")
      yield* Scope.close(scope, Exit.void)
      yield* take(folder)
      expect(child.exitCode).toBe(null)
    }).pipe(Effect.provide(layer))
  )

  it.scopedLive("is free when the process that has it is killed", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const child = yield* started("flock", "-o", join(folder, lockName), "sh", "-c", "echo locked; exec cat")
      expect(yield* word(child)).toContain("locked")
      expect(yield* Effect.flip(take(folder))).toMatchObject({ _tag: "FolderTaken" })
      child.kill("SIGKILL")
      yield* ended(child)
      yield* take(folder)
    }).pipe(Effect.provide(layer))
  )

  it.scopedLive("is on the file that is there, not on one that somebody removed", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* take(folder)
      fs.rmSync(join(folder, lockName))
      yield* take(folder)
      expect(yield* Effect.flip(take(folder))).toMatchObject({ _tag: "FolderTaken" })
    }).pipe(Effect.provide(layer))
  )

  it.scopedLive("can't be had where a pipe or a link is in the lock's place", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      execFileSync("mkfifo", [join(folder, lockName)])
      expect(yield* Effect.flip(take(folder))).toMatchObject({ _tag: "FolderUnusable", folder })
      fs.rmSync(join(folder, lockName))
      fs.symlinkSync(join(folder, "elsewhere"), join(folder, lockName))
      expect(yield* Effect.flip(take(folder))).toMatchObject({ _tag: "FolderUnusable", folder })
      expect(fs.existsSync(join(folder, "elsewhere"))).toBe(false)
    }).pipe(Effect.provide(layer))
  )

  it.scopedLive("is had on a disk with no room for a word of whose it is", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, lockName)
      fs.writeFileSync(path, `process 1 on ${"another".repeat(20)}\n`)
      const file = yield* Effect.promise(() => fs.promises.open(path))
      // That of all that are opened.
      const prototype: fs.promises.FileHandle = Object.getPrototypeOf(file)
      yield* Effect.promise(() => file.close())
      const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" })
      const write = vi.spyOn(prototype, "write").mockRejectedValue(full)
      yield* Effect.addFinalizer(() => Effect.sync(() => write.mockRestore()))
      yield* take(folder)
      expect(write).toHaveBeenCalledOnce()
      expect(yield* Effect.flip(take(folder))).toMatchObject({
        holder: expect.stringContaining("does not say")
      })
    }).pipe(Effect.provide(layer))
  )

  it.scopedLive("says whose it is in the place of one who said more", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      fs.writeFileSync(join(folder, lockName), `process 1 on ${"another".repeat(20)}\n`)
      yield* take(folder)
      expect(fs.readFileSync(join(folder, lockName), "utf8")).toMatch(/^process \d+ on (?!another)\S+\n$/)
    }).pipe(Effect.provide(layer))
  )

  it.scopedLive("can't be had without the command that takes it, which is said", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = process.env.PATH
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          process.env.PATH = folder
        }),
        () =>
          Effect.sync(() => {
            process.env.PATH = path
          })
      )
      const error = yield* Effect.flip(take(folder))
      expect(error._tag === "FolderUnusable" ? error.message : "").toMatch(/flock.*PATH/)
    }).pipe(Effect.provide(layer))
  )
})
