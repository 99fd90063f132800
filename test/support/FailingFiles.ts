/** A file system on which some of the operations fail, as those of a full or a broken disk do. */
import { FileSystem, Error as PlatformError } from "@effect/platform"
import { Effect } from "effect"

export interface FileOperation {
  readonly method: "open" | "write" | "sync" | "makeDirectory" | "remove" | "stat"
  readonly path: string
}

const failure = ({ method, path }: FileOperation) =>
  new PlatformError.SystemError({
    module: "FileSystem",
    method,
    reason: "Unknown",
    pathOrDescriptor: path,
    description: "ENOSPC: no space left"
  })

/** @param fails asked before each operation */
export const failingFiles = (
  fs: FileSystem.FileSystem,
  fails: (operation: FileOperation) => boolean
): FileSystem.FileSystem => {
  const guard = <A, E, R>(operation: FileOperation, effect: Effect.Effect<A, E, R>) =>
    Effect.suspend(
      (): Effect.Effect<A, E | PlatformError.SystemError, R> =>
        fails(operation) ? Effect.fail(failure(operation)) : effect
    )
  return {
    ...fs,
    makeDirectory: (path, options) =>
      guard({ method: "makeDirectory", path }, fs.makeDirectory(path, options)),
    stat: (path) => guard({ method: "stat", path }, fs.stat(path)),
    remove: (path, options) => guard({ method: "remove", path }, fs.remove(path, options)),
    open: (path, options) =>
      guard({ method: "open", path }, fs.open(path, options)).pipe(
        Effect.map(
          (file): FileSystem.File => ({
            [FileSystem.FileTypeId]: FileSystem.FileTypeId,
            fd: file.fd,
            stat: file.stat,
            sync: guard({ method: "sync", path }, file.sync),
            seek: (offset, from) => file.seek(offset, from),
            read: (buffer) => file.read(buffer),
            readAlloc: (size) => file.readAlloc(size),
            truncate: (length) => file.truncate(length),
            write: (buffer) => guard({ method: "write", path }, file.write(buffer)),
            writeAll: (buffer) => guard({ method: "write", path }, file.writeAll(buffer))
          })
        )
      )
  }
}
