/** A small file that is written in one piece: a record of ours. */
import { Effect } from "effect"
import { type DiskError, type DiskService, diskError } from "./Disk.ts"

export interface TextFileOptions {
  readonly mode: number
  /** Its modification time, with which it is on the disk afterwards: milliseconds since 1970. Undefined: when the system likes. */
  readonly synced: number | undefined
}

/** A new file of this text, which must not be there yet. */
export const write = (
  disk: DiskService,
  path: string,
  text: string,
  { mode, synced }: TextFileOptions
): Effect.Effect<void, DiskError> =>
  Effect.acquireUseRelease(
    disk.create(path, mode),
    (file) =>
      Effect.tryPromise({
        try: () =>
          file.write(Buffer.from(text)).then(() => (synced === undefined ? undefined : file.sync(synced))),
        catch: diskError
      }),
    (file) => Effect.promise(() => file.close().catch(() => {}))
  )
