/** The shared folder itself, on the disk. Its clock is ahead of the file system's, where files have to have settled. */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Option, type Scope, TestClock } from "effect"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import type { HashAlgorithm } from "../../src/disk/ContentHash.ts"
import { Hasher, HashLost } from "../../src/disk/Hasher.ts"
import * as WorkerHasher from "../../src/disk/WorkerHasher.ts"
import type { FolderFs } from "../../src/shared-folder/OpenedFile.ts"
import { make, SharedFolder } from "../../src/shared-folder/SharedFolder.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { eventually } from "../support/Until.ts"

const hashOf = (content: string | Uint8Array, algorithm: HashAlgorithm = "sha256") =>
  createHash(algorithm).update(content).digest("hex")

interface Options {
  readonly node?: FolderFs
  readonly hasher?: Layer.Layer<Hasher>
}

/** Uses the shared folder `shared`, which stands beside `outside`. */
const withFolder = <A, E>(
  use: (directory: string, folder: SharedFolder["Type"]) => Effect.Effect<A, E, Scope.Scope>,
  { node = fs, hasher = WorkerHasher.layer }: Options = {}
) =>
  Effect.gen(function* () {
    const directory = yield* temporaryFolder
    for (const name of ["shared", "shared/sub", "outside"]) fs.mkdirSync(join(directory, name))
    fs.writeFileSync(join(directory, "shared/motd"), "for all\n")
    fs.writeFileSync(join(directory, "outside/secret"), "secret\n")
    const settings = makeSettings({ sharedFolder: { path: join(directory, "shared") } })
    const layer = Layer.scoped(SharedFolder, make(node)).pipe(
      Layer.provide([hasher, Layer.succeed(RelayConfig, settings)])
    )
    return yield* Effect.flatMap(SharedFolder, (folder) => use(directory, folder)).pipe(Effect.provide(layer))
  })

/** All files have settled. */
const later = Effect.suspend(() => TestClock.setTime(Date.now() + 60_000))

const found = (folder: SharedFolder["Type"], ...path: ReadonlyArray<string>) =>
  Effect.map(folder.open(path), Option.getOrThrow)

const textOf = async (bytes: AsyncIterable<Uint8Array>) => {
  const parts: Array<Uint8Array> = []
  for await (const part of bytes) parts.push(part)
  return Buffer.concat(parts).toString()
}

const whole = ({ size }: { readonly size: number }) => ({ start: 0, end: size - 1 })

/** The descriptors of this process that are open on something below a folder. */
const openBelow = (directory: string) =>
  fs.readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = fs.readlinkSync(`/proc/self/fd/${fd}`)
      return target.startsWith(directory) ? [target] : []
    } catch {
      return []
    }
  })

describe("a file of the shared folder", () => {
  it.scoped("has its size, its time, its content and its hash", () =>
    withFolder((directory, folder) =>
      Effect.gen(function* () {
        yield* later
        fs.utimesSync(join(directory, "shared/motd"), 0, 1_700_000_000)
        const file = yield* found(folder, "motd")
        expect(file).toMatchObject({ size: 8, modified: 1_700_000_000_000 })
        expect(yield* Effect.promise(() => textOf(file.read(whole(file))))).toBe("for all\n")
        expect(yield* Effect.promise(() => textOf(file.read({ start: 4, end: 5 })))).toBe("al")
        expect(yield* file.hash("sha256")).toEqual(Option.some(hashOf("for all\n")))
        expect(yield* file.hash("sha512")).toEqual(Option.some(hashOf("for all\n", "sha512")))
      })
    )
  )

  it.scoped("may be empty, in another folder, and larger than what is read at once", () =>
    withFolder((directory, folder) =>
      Effect.gen(function* () {
        const large = Buffer.alloc(3_000_001, "0123456789")
        fs.writeFileSync(join(directory, "shared/sub/empty"), "")
        fs.writeFileSync(join(directory, "shared/sub/large"), large)
        const empty = yield* found(folder, "sub", "empty")
        expect(empty.size).toBe(0)
        expect(yield* Effect.promise(() => textOf(empty.read(whole(empty))))).toBe("")
        expect(yield* empty.hash("sha256")).toEqual(Option.some(hashOf("")))
        const file = yield* found(folder, "sub", "large")
        expect(yield* file.hash("sha512")).toEqual(Option.some(hashOf(large, "sha512")))
        const text = yield* Effect.promise(() => textOf(file.read({ start: 65_530, end: 200_000 })))
        expect(text).toBe(large.toString("latin1", 65_530, 200_001))
      })
    )
  )

  it.scoped("is closed with its scope", () =>
    withFolder((directory, folder) =>
      Effect.gen(function* () {
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* found(folder, "motd")
            expect(openBelow(directory)).toEqual([join(directory, "shared/motd")])
          })
        )
        yield* Effect.scoped(folder.open(["sub"]))
        expect(openBelow(directory)).toEqual([])
      })
    )
  )

  it.scoped("breaks off where it has become shorter", () =>
    withFolder((directory, folder) =>
      Effect.gen(function* () {
        fs.writeFileSync(join(directory, "shared/log"), Buffer.alloc(200_000))
        const file = yield* found(folder, "log")
        fs.truncateSync(join(directory, "shared/log"), 100_000)
        const error = yield* Effect.flip(
          Effect.tryPromise({ try: () => textOf(file.read(whole(file))), catch: String })
        )
        expect(error).toContain("shorter")
      })
    )
  )

  it.scoped("is read to the end that it had, though it was replaced or has grown", () =>
    withFolder((directory, folder) =>
      Effect.gen(function* () {
        const path = join(directory, "shared/motd")
        const file = yield* found(folder, "motd")
        fs.appendFileSync(path, "and more\n")
        fs.writeFileSync(`${path}.new`, "another\n")
        fs.renameSync(`${path}.new`, path)
        expect(yield* Effect.promise(() => textOf(file.read(whole(file))))).toBe("for all\n")
      })
    )
  )

  it.scoped("has another tag and another hash when it is another, though of the same size and time", () =>
    withFolder((directory, folder) =>
      Effect.gen(function* () {
        yield* later
        const path = join(directory, "shared/motd")
        fs.utimesSync(path, 1_700_000_000, 1_700_000_000)
        const before = yield* found(folder, "motd")
        yield* before.hash("sha256")
        fs.writeFileSync(path, "for ALL\n")
        fs.utimesSync(path, 1_700_000_000, 1_700_000_000)
        const after = yield* found(folder, "motd")
        expect(before.etag).toMatch(/^"[0-9a-f]+-[0-9a-f]+"$/)
        expect(after.etag).not.toBe(before.etag)
        expect(yield* after.hash("sha256")).toEqual(Option.some(hashOf("for ALL\n")))
        // What was opened before is not what is there now.
        expect(yield* before.hash("sha512")).toEqual(Option.none())
      })
    )
  )

  it.scoped("has a weak tag while it may change unnoticed", () =>
    withFolder((directory, folder) =>
      Effect.gen(function* () {
        const path = join(directory, "shared/motd")
        yield* TestClock.setTime(Date.now())
        const { etag } = yield* found(folder, "motd")
        yield* later
        expect(etag).toBe(`W/${(yield* found(folder, "motd")).etag}`)
        expect(fs.existsSync(path)).toBe(true)
      })
    )
  )
})

describe("what is no file of the shared folder", () => {
  const isAbsent = (folder: SharedFolder["Type"], ...path: ReadonlyArray<string>) =>
    Effect.map(Effect.scoped(folder.open(path)), Option.isNone)

  it.scoped("is none: absent, a folder, below a file, a name too long", () =>
    withFolder((_, folder) =>
      Effect.gen(function* () {
        for (const path of [["nothing"], ["sub"], ["motd", "x"], ["nothing", "x"], ["a".repeat(300)]])
          expect([path, yield* isAbsent(folder, ...path)]).toEqual([path, true])
      })
    )
  )

  it.scoped("is none: a pipe, which is not waited for", () =>
    withFolder((directory, folder) =>
      Effect.gen(function* () {
        execFileSync("mkfifo", [join(directory, "shared/pipe")])
        expect(yield* isAbsent(folder, "pipe")).toBe(true)
      })
    )
  )

  it.scoped("is none: a link that leads out, itself or on the way, or in a circle, or nowhere", () =>
    withFolder((directory, folder) =>
      Effect.gen(function* () {
        const link = (to: string, name: string) => fs.symlinkSync(to, join(directory, "shared", name))
        link("../outside/secret", "relative")
        link(join(directory, "outside/secret"), "absolute")
        link("../outside", "folder")
        link(directory, "up")
        link("circle", "circle")
        link("nothing", "dangling")
        link("relative", "again")
        // A folder whose name begins like the shared one's.
        fs.mkdirSync(join(directory, "shared-too"))
        fs.writeFileSync(join(directory, "shared-too/file"), "")
        link("../shared-too/file", "alike")
        for (const path of [
          ["relative"],
          ["absolute"],
          ["folder", "secret"],
          ["up", "outside", "secret"],
          ["circle"],
          ["dangling"],
          ["again"],
          ["alike"]
        ])
          expect([path, yield* isAbsent(folder, ...path)]).toEqual([path, true])
      })
    )
  )

  it.scoped("but a link within the folder is its file, and the folder may be a link itself", () =>
    withFolder((directory, folder) =>
      Effect.gen(function* () {
        fs.symlinkSync("../motd", join(directory, "shared/sub/link"))
        fs.symlinkSync("sub", join(directory, "shared/other"))
        const file = yield* found(folder, "other", "link")
        expect(yield* Effect.promise(() => textOf(file.read(whole(file))))).toBe("for all\n")
        fs.renameSync(join(directory, "shared"), join(directory, "real"))
        fs.symlinkSync("real", join(directory, "shared"))
        expect(yield* isAbsent(folder, "motd")).toBe(false)
      })
    )
  )

  it.scoped("is never opened outside, though a folder becomes a link between two looks", () => {
    let directory = ""
    const opened: Array<string> = []
    const node: FolderFs = {
      promises: {
        realpath: fs.promises.realpath,
        readlink: fs.promises.readlink,
        open: async (path, flags, mode) => {
          fs.rmSync(join(directory, "shared/sub"), { recursive: true, force: true })
          fs.symlinkSync("../outside", join(directory, "shared/sub"))
          opened.push(String(path))
          return fs.promises.open(path, flags, mode)
        }
      }
    }
    return withFolder(
      (made, folder) =>
        Effect.gen(function* () {
          directory = made
          fs.writeFileSync(join(directory, "shared/sub/secret"), "harmless\n")
          expect(yield* isAbsent(folder, "sub", "secret")).toBe(true)
          expect(opened).toEqual([join(directory, "shared/sub/secret")])
          expect(openBelow(directory)).toEqual([])
        }),
      { node }
    )
  })

  it.scoped("is everything, where the folder is not there", () =>
    withFolder((directory, folder) =>
      Effect.gen(function* () {
        fs.rmSync(join(directory, "shared"), { recursive: true })
        expect(yield* isAbsent(folder, "motd")).toBe(true)
      })
    )
  )
})

describe("a disk that fails", () => {
  const failing = (code: string): FolderFs => ({
    promises: {
      realpath: fs.promises.realpath,
      readlink: fs.promises.readlink,
      open: () => Promise.reject(Object.assign(new Error(`${code}: it failed`), { code }))
    }
  })
  it.scoped.each(["EIO", "EACCES", "EMFILE"])("is a StorageError: %s", (code) =>
    withFolder(
      (_, folder) =>
        Effect.gen(function* () {
          expect(yield* Effect.flip(folder.open(["motd"]))).toMatchObject({
            _tag: "StorageError",
            message: expect.stringContaining(code)
          })
        }),
      { node: failing(code) }
    )
  )

  it.scoped("while it hashes, too; and the next who asks is not told of it", () => {
    let fails = true
    const hasher = Layer.succeed(Hasher, {
      begin: () =>
        Effect.succeed({
          update: () =>
            Effect.succeed(fails ? new HashLost({ message: "the hashing thread ended" }) : Effect.void),
          digest: () => Effect.succeed(Buffer.from("00ff", "hex"))
        })
    })
    return withFolder(
      (_, folder) =>
        Effect.gen(function* () {
          yield* later
          const file = yield* found(folder, "motd")
          expect(yield* Effect.flip(file.hash("sha256"))).toMatchObject({ _tag: "StorageError" })
          fails = false
          yield* TestClock.adjust("1 second")
          expect(yield* file.hash("sha256")).toEqual(Option.some("00ff"))
        }),
      { hasher }
    )
  })
})

describe("hashes", () => {
  /** A hasher that waits to be told to go on, and counts. */
  const slow = () => {
    const go = Effect.runSync(Deferred.make<void>())
    const counts = { begun: 0, now: 0, most: 0 }
    const layer = Layer.succeed(Hasher, {
      begin: () =>
        Effect.acquireRelease(
          Effect.sync(() => {
            counts.begun++
            counts.most = Math.max(counts.most, ++counts.now)
            return {
              update: () => Effect.succeed(Deferred.await(go)),
              digest: () => Effect.succeed(Buffer.from("00ff", "hex"))
            }
          }),
          () => Effect.sync(() => counts.now--)
        )
    })
    return { go: Deferred.succeed(go, undefined), counts, layer }
  }

  it.scoped("are made once for all who ask, also when the first of them leaves", () => {
    const { go, counts, layer } = slow()
    return withFolder(
      (_, folder) =>
        Effect.gen(function* () {
          yield* later
          const ask = Effect.scoped(Effect.flatMap(found(folder, "motd"), (file) => file.hash("sha256")))
          const first = yield* Effect.fork(ask)
          yield* eventually(() => counts.now === 1)
          const others = yield* Effect.fork(Effect.all([ask, ask, ask], { concurrency: "unbounded" }))
          yield* Fiber.interrupt(first)
          yield* go
          expect(yield* Fiber.join(others)).toEqual(Array(3).fill(Option.some("00ff")))
          expect(yield* ask).toEqual(Option.some("00ff"))
          expect(counts.begun).toBe(1)
        }),
      { hasher: layer }
    )
  })

  it.scoped("are made of two files at once at most, and a file without is not kept waiting", () => {
    const { go, counts, layer } = slow()
    return withFolder(
      (directory, folder) =>
        Effect.gen(function* () {
          yield* later
          const names = ["a", "b", "c", "d", "e"]
          for (const name of names) fs.writeFileSync(join(directory, "shared", name), name)
          const hashes = yield* Effect.fork(
            Effect.forEach(
              names,
              (name) => Effect.scoped(Effect.flatMap(found(folder, name), (file) => file.hash("sha256"))),
              { concurrency: "unbounded" }
            )
          )
          yield* eventually(() => counts.now === 2)
          const file = yield* found(folder, "motd")
          expect(yield* Effect.promise(() => textOf(file.read(whole(file))))).toBe("for all\n")
          yield* go
          yield* Fiber.join(hashes)
          expect(counts).toEqual({ begun: 5, now: 0, most: 2 })
        }),
      { hasher: layer }
    )
  })
})
