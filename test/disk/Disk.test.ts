import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { createFsFromVolume, Volume } from "memfs"
import { DiskError, diskError, isNotOfItsKind } from "../../src/disk/Disk.ts"
import { make } from "../../src/disk/NodeDisk.ts"
import type { NodeFs } from "../../src/disk/NodeFs.ts"
import { temporaryFolder } from "../support/Folders.ts"

const piece = new Uint8Array(16 * 1024 * 1024)

/** A disk whose early syncs are counted, and end as a test says. */
const disk = (fdatasync: NodeFs["fdatasync"]) => {
  const memory = createFsFromVolume(new Volume())
  // memfs says of itself that it is node's fs, and has what `NodeFs` names; its types differ in overloads only.
  return make({ ...memory, fdatasync, constants: fs.constants } as unknown as NodeFs)
}

const written = (fdatasync: NodeFs["fdatasync"], pieces: number) =>
  Effect.gen(function* () {
    const file = yield* disk(fdatasync).create("/large", 0o600)
    for (let count = 0; count < pieces; count++) yield* file.write(piece)
    return file
  })

describe("a file that is written", () => {
  it.effect("is on its way to the disk while more of it comes, when it is large", () =>
    Effect.gen(function* () {
      let syncs = 0
      const fdatasync: NodeFs["fdatasync"] = (_, done) => {
        syncs++
        queueMicrotask(() => done(null, undefined))
      }
      yield* written(fdatasync, 1)
      expect(syncs).toBe(0)
      const file = yield* written(fdatasync, 4)
      expect(syncs).toBe(2)
      yield* file.sync(0)
      yield* file.close
    })
  )

  it.effect("is not on the disk where the disk said no on the way", () =>
    Effect.gen(function* () {
      const file = yield* written((_, done) => setImmediate(() => done(new Error("EIO"), undefined)), 4)
      expect(yield* Effect.flip(file.sync(0))).toMatchObject({ _tag: "DiskError", message: "EIO" })
      yield* file.close
    })
  )
})

/** In place of a file: what can be opened, and read from, in its way or not at all. */
const inPlace: ReadonlyArray<{ readonly what: string; readonly make: (path: string) => void }> = [
  { what: "a pipe", make: (path) => execFileSync("mkfifo", [path]) },
  { what: "a folder", make: (path) => fs.mkdirSync(path) },
  { what: "a link", make: (path) => fs.symlinkSync("/dev/zero", path) },
  { what: "a device", make: (path) => execFileSync("mknod", [path, "c", "1", "5"]) },
  {
    what: "a socket",
    make: (path) => {
      // It ends at once, and leaves its socket behind.
      const code = 'require("net").createServer().listen(process.argv[1], () => process.exit())'
      execFileSync(process.execPath, ["-e", `${code}`, path])
    }
  }
]

const hangs = {
  duration: "10 seconds",
  onTimeout: () => new DiskError({ message: "it hangs", code: undefined })
} as const

/** Whoever waits for the other end of a pipe waits no more. */
const letGo = (path: string) =>
  Effect.sync(() => {
    if (fs.lstatSync(path).isFIFO())
      fs.closeSync(fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_NONBLOCK))
  })

describe("what is no file, where a file belongs", () => {
  // Only root may make a device.
  for (const { what, make: put } of inPlace)
    it.scopedLive.skipIf(what === "a device" && process.getuid?.() !== 0)(
      `is not read, nor waited for: ${what}`,
      () =>
        Effect.gen(function* () {
          const path = join(yield* temporaryFolder, "file")
          put(path)
          yield* Effect.addFinalizer(() => letGo(path))
          const disk = make(fs)
          const read = Effect.tryPromise({
            try: async () => {
              for await (const _ of disk.read(path)) return
            },
            catch: diskError
          })
          for (const reading of [disk.readText(path), disk.readEnd(path, 9), read])
            expect(isNotOfItsKind(yield* Effect.flip(Effect.timeoutFail(reading, hangs)))).toBe(true)
        })
    )

  it.scopedLive("is no record either where it has no end", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "file")
      fs.writeFileSync(path, "")
      fs.truncateSync(path, 1e12)
      expect(yield* Effect.flip(make(fs).readText(path))).toMatchObject({ code: "EFBIG" })
    })
  )
})

describe("a small file that is read", () => {
  const old = new Date("2020-01-01T00:00:00Z")

  it.scopedLive("is left with the time at which it was read before", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "file")
      fs.writeFileSync(path, "content")
      fs.utimesSync(path, old, new Date())
      expect(yield* make(fs).readText(path)).toBe("content")
      expect(fs.statSync(path).atime).toEqual(old)
    })
  )

  it.effect("is read all the same where it is somebody else's, of which the system does not allow that", () =>
    Effect.gen(function* () {
      const memory = createFsFromVolume(Volume.fromJSON({ "/file": "content" }))
      const openSync: NodeFs["openSync"] = (path, flags) => {
        if ((Number(flags) & fs.constants.O_NOATIME) !== 0)
          throw Object.assign(new Error("EPERM"), { code: "EPERM" })
        return memory.openSync(path, flags)
      }
      // As above.
      const node = { ...memory, openSync, constants: fs.constants } as unknown as NodeFs
      expect(yield* make(node).readText("/file")).toBe("content")
    })
  )
})

describe("the end of a file", () => {
  it.scopedLive("is so much of it as is asked for, or all of it, and how long that is", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "file")
      const { readEnd } = make(fs)
      expect(yield* readEnd(path, 3)).toBeUndefined()
      for (const content of ["", "ab", "abc", "abcdef"]) {
        fs.writeFileSync(path, content)
        const end = yield* readEnd(path, 3)
        expect(end?.length).toBe(content.length)
        expect(Buffer.from(end?.bytes ?? []).toString()).toBe(content.slice(-3))
      }
    })
  )
})
