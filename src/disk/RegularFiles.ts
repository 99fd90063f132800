/**
 * The platform's file system, on which nothing but files is opened: opening a pipe waits for who writes it, reading a
 * device may, and whoever waits for the disk waits on a few threads that all share.
 */
import { FileSystem, Error as PlatformError } from "@effect/platform"
import { Effect, Layer } from "effect"

/** There is no harm in it, and it is how one says "an empty file". */
const harmless = "/dev/null"

const noFile = (method: string, path: string) =>
  new PlatformError.SystemError({
    module: "FileSystem",
    method,
    reason: "BadResource",
    pathOrDescriptor: path,
    description: "not a regular file"
  })

/** What is not there yet can be made. */
const check = (fs: FileSystem.FileSystem, method: string, path: string) =>
  Effect.matchEffect(fs.stat(path), {
    onFailure: () => Effect.void,
    onSuccess: ({ type }) => (type === "File" || path === harmless ? Effect.void : noFile(method, path))
  })

/** Those that look already. */
const looking = new WeakSet<FileSystem.FileSystem>()

/** Over the file system that is provided. */
export const layer = Layer.effect(
  FileSystem.FileSystem,
  Effect.map(FileSystem.FileSystem, (fs) => {
    if (looking.has(fs)) return fs
    // What streams and texts are read and written with is derived from these.
    const made = FileSystem.make({
      ...fs,
      open: (path, options) => Effect.andThen(check(fs, "open", path), fs.open(path, options)),
      readFile: (path) => Effect.andThen(check(fs, "readFile", path), fs.readFile(path)),
      writeFile: (path, data, options) =>
        Effect.andThen(check(fs, "writeFile", path), fs.writeFile(path, data, options))
    })
    looking.add(made)
    return made
  })
)
