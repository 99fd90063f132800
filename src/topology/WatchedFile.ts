/** A file that others replace while the relay runs. */
import { FileSystem, type Error as PlatformError } from "@effect/platform"
import { Duration, Effect, Option, Ref, Schedule, type Scope } from "effect"

/** A file as it was read. */
export interface Read {
  readonly bytes: Uint8Array
  /** When it was last written, milliseconds since 1970, as it was right before. */
  readonly written: Option.Option<number>
}

/** A file, and what becomes of it. */
export interface WatchedFile {
  /** All of it; who has read it need not be told of it by `follow`. */
  readonly read: Effect.Effect<Read, PlatformError.PlatformError>
  readonly isThere: Effect.Effect<boolean>
  /**
   * Runs this whenever the file has changed, and, while it is there and could not be read, at every look: its permissions
   * can change without the file. Looks twice a second until the scope ends.
   */
  readonly follow: (reload: Effect.Effect<unknown>) => Effect.Effect<void, never, Scope.Scope>
}

const pollInterval = Duration.millis(500)

const absent = "absent"

/** A file as a look finds it. */
interface Found {
  readonly version: string
  readonly written: Option.Option<number>
}

const none: Found = { version: absent, written: Option.none() }

const foundOf = ({ dev, ino, size, mtime }: FileSystem.File.Info): Found => {
  const written = Option.map(mtime, (time) => time.getTime())
  const version = [dev, Option.getOrUndefined(ino), size, Option.getOrUndefined(written)].join(" ")
  return { version, written }
}

const find = (fs: FileSystem.FileSystem, file: string): Effect.Effect<Found> =>
  Effect.match(fs.stat(file), { onSuccess: foundOf, onFailure: () => none })

/** Changes when the file is replaced, written or removed. */
export const version = (file: string): Effect.Effect<string, never, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.map(find(fs, file), ({ version }) => version))

/** The file at this path, which need not be there yet. It is looked at when it is asked for first. */
export const make = (file: string): Effect.Effect<WatchedFile, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const now = find(fs, file)
    const seen = yield* Ref.make(absent)
    const unread = yield* Ref.make(false)
    const look = (reload: Effect.Effect<unknown>) =>
      Effect.gen(function* () {
        const { version } = yield* now
        const isAnother = version !== (yield* Ref.getAndSet(seen, version))
        if (isAnother || (version !== absent && (yield* Ref.get(unread)))) yield* reload
      })
    return {
      read: Effect.gen(function* () {
        const { version, written } = yield* now
        // What is written from now on is another version, also where this reads it already.
        yield* Ref.set(seen, version)
        return { bytes: yield* fs.readFile(file), written }
      }).pipe(
        Effect.tapBoth({
          onFailure: () => Ref.set(unread, true),
          onSuccess: () => Ref.set(unread, false)
        })
      ),
      isThere: Effect.map(now, ({ version }) => version !== absent),
      follow: (reload) =>
        Effect.asVoid(Effect.forkScoped(Effect.repeat(look(reload), Schedule.spaced(pollInterval))))
    }
  })
