import { FileSystem, Error as PlatformError } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, TestClock } from "effect"
import * as WatchedFile from "../../src/topology/WatchedFile.ts"

/** A file as a test says it is: how large it is now (none: it is not there), and whether it can be read. */
interface Scripted {
  size: number | undefined
  isReadable: boolean
}

const error = (reason: PlatformError.SystemErrorReason, method: string) =>
  new PlatformError.SystemError({ module: "FileSystem", method, reason, pathOrDescriptor: "list" })

const info = (size: number): FileSystem.File.Info => ({
  type: "File",
  mtime: Option.some(new Date(0)),
  atime: Option.none(),
  birthtime: Option.none(),
  dev: 1,
  ino: Option.some(1),
  mode: 0o600,
  nlink: Option.none(),
  uid: Option.none(),
  gid: Option.none(),
  rdev: Option.none(),
  size: FileSystem.Size(size),
  blksize: Option.none(),
  blocks: Option.none()
})

const layerOf = (file: Scripted) =>
  FileSystem.layerNoop({
    stat: () =>
      Effect.suspend(() =>
        file.size === undefined ? Effect.fail(error("NotFound", "stat")) : Effect.succeed(info(file.size))
      ),
    readFile: () =>
      Effect.suspend(() =>
        file.isReadable
          ? Effect.succeed(new Uint8Array(file.size ?? 0))
          : Effect.fail(error("PermissionDenied", "readFile"))
      )
  })

/** Follows a file while `use` runs, which is given how often it was read, and what reads it. */
const following = <A, E>(
  file: Scripted,
  use: (reads: () => number, reload: Effect.Effect<void>) => Effect.Effect<A, E>
) =>
  Effect.gen(function* () {
    const watched = yield* WatchedFile.make("list")
    let reads = 0
    const reload = Effect.suspend(() => {
      reads++
      return Effect.ignore(watched.read)
    })
    yield* reload
    yield* watched.follow(reload)
    return yield* use(() => reads, reload)
  }).pipe(Effect.scoped, Effect.provide(layerOf(file)))

describe("a watched file", () => {
  it.effect("is read with the time at which it was written", () =>
    Effect.gen(function* () {
      const watched = yield* WatchedFile.make("list")
      const { bytes, written } = yield* watched.read
      expect(bytes).toHaveLength(3)
      expect(written).toEqual(Option.some(0))
    }).pipe(Effect.provide(layerOf({ size: 3, isReadable: true })))
  )

  it.effect("is read again when it changes, and not otherwise", () => {
    const file: Scripted = { size: 1, isReadable: true }
    return following(file, (reads) =>
      Effect.gen(function* () {
        yield* TestClock.adjust("5 seconds")
        expect(reads()).toBe(1)
        file.size = 2
        yield* TestClock.adjust("500 millis")
        expect(reads()).toBe(2)
        yield* TestClock.adjust("5 seconds")
        expect(reads()).toBe(2)
      })
    )
  })

  it.effect("is not read again after somebody else had it read", () => {
    const file: Scripted = { size: 1, isReadable: true }
    return following(file, (reads, reload) =>
      Effect.gen(function* () {
        file.size = 2
        yield* reload
        yield* TestClock.adjust("5 seconds")
        expect(reads()).toBe(2)
        file.size = 3
        yield* TestClock.adjust("500 millis")
        expect(reads()).toBe(3)
      })
    )
  })

  it.effect("is tried again while it is there and can't be read, though nothing of it changes", () => {
    const file: Scripted = { size: 1, isReadable: false }
    return following(file, (reads) =>
      Effect.gen(function* () {
        yield* TestClock.adjust("1 second")
        const before = reads()
        expect(before).toBeGreaterThan(2)
        file.isReadable = true
        yield* TestClock.adjust("5 seconds")
        expect(reads()).toBe(before + 1)
      })
    )
  })

  it.effect("is not tried again where it is not there, and told of once when it goes", () => {
    const file: Scripted = { size: undefined, isReadable: false }
    return following(file, (reads) =>
      Effect.gen(function* () {
        yield* TestClock.adjust("5 seconds")
        expect(reads()).toBe(1)
        file.size = 1
        file.isReadable = true
        yield* TestClock.adjust("500 millis")
        expect(reads()).toBe(2)
        file.size = undefined
        file.isReadable = false
        yield* TestClock.adjust("5 seconds")
        expect(reads()).toBe(3)
      })
    )
  })
})
