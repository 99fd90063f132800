/** A small file that is written in one piece: a record of ours. */
import { Effect } from "effect"
import type { DiskError, DiskService } from "./Disk.ts"

/** How a text file is made. */
export interface TextFileOptions {
  readonly mode: number
  /** Its modification time, with which it is on the disk afterwards: milliseconds since 1970. Undefined: when the system likes. */
  readonly synced: number | undefined
}

/** A new file of this text, or these bytes, which must not be there yet. */
export const write = (
  disk: Pick<DiskService, "create">,
  path: string,
  text: string | Uint8Array,
  { mode, synced }: TextFileOptions
): Effect.Effect<void, DiskError> =>
  Effect.acquireUseRelease(
    disk.create(path, mode),
    (file) =>
      Effect.andThen(
        file.write(typeof text === "string" ? Buffer.from(text) : text),
        synced === undefined ? Effect.void : file.sync(synced)
      ),
    (file) => file.close
  )
