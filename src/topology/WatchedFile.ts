/** A file that others replace while the relay runs. */
import { FileSystem, type Error as PlatformError } from "@effect/platform"
import { Duration, Effect, Option, Ref, Schedule, type Scope } from "effect"

/** A file, and what becomes of it. */
export interface WatchedFile {
  /** All of it; who has read it need not be told of it by `follow`. */
  readonly read: Effect.Effect<Uint8Array, PlatformError.PlatformError>
  readonly isThere: Effect.Effect<boolean>
  /** When it was last written: milliseconds since 1970. */
  readonly modified: Effect.Effect<Option.Option<number>>
  /**
   * Runs this whenever the file has changed, and, while it is there and could not be read, at every look: its permissions
   * can change without the file. Looks twice a second until the scope ends.
   */
  readonly follow: (reload: Effect.Effect<unknown>) => Effect.Effect<void, never, Scope.Scope>
}

const pollInterval = Duration.millis(500)

const absent = "absent"

/** Changes when the file is replaced, written or removed. */
export const version = (file: string): Effect.Effect<string, never, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.stat(file)).pipe(
    Effect.map(({ dev, ino, size, mtime }) =>
      [dev, Option.getOrUndefined(ino), size, Option.getOrUndefined(mtime)?.getTime()].join(" ")
    ),
    Effect.orElseSucceed(() => absent)
  )

/** The file at this path, which need not be there yet. */
export const make = (file: string): Effect.Effect<WatchedFile, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const now = Effect.provideService(version(file), FileSystem.FileSystem, fs)
    const seen = yield* Ref.make(yield* now)
    const unread = yield* Ref.make(false)
    const look = (reload: Effect.Effect<unknown>) =>
      Effect.gen(function* () {
        const found = yield* now
        const isAnother = found !== (yield* Ref.getAndSet(seen, found))
        if (isAnother || (found !== absent && (yield* Ref.get(unread)))) yield* reload
      })
    return {
      // What is written from now on is another version, also where this reads it already.
      read: Effect.andThen(
        Effect.flatMap(now, (found) => Ref.set(seen, found)),
        fs.readFile(file)
      ).pipe(
        Effect.tapBoth({
          onFailure: () => Ref.set(unread, true),
          onSuccess: () => Ref.set(unread, false)
        })
      ),
      modified: Effect.map(Effect.option(fs.stat(file)), (found) =>
        Option.map(
          Option.flatMap(found, ({ mtime }) => mtime),
          (time) => time.getTime()
        )
      ),
      isThere: Effect.map(now, (found) => found !== absent),
      follow: (reload) =>
        Effect.asVoid(Effect.forkScoped(Effect.repeat(look(reload), Schedule.spaced(pollInterval))))
    }
  })
