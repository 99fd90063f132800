/** How much room is left where the relay writes. */
import { Effect } from "effect"
import { RelayConfig } from "../config/RelayConfig.ts"
import { Disk } from "../disk/Disk.ts"
import { root } from "../NodeId.ts"

/** A folder of the relay's. */
export interface FolderRoom {
  readonly folder: "shared_files" | "outbox" | "runs"
  readonly path: string
  /** Bytes that are free on its file system. */
  readonly free: number
  /** Bytes that have to stay free; 0: nothing is said of that. */
  readonly minimum: number
}

/** Of the folders that there are, and that the file system tells of. */
export const folders: Effect.Effect<ReadonlyArray<FolderRoom>, never, Disk | RelayConfig> = Effect.gen(
  function* () {
    const { general, remoteRun, sharedFiles } = yield* RelayConfig
    const disk = yield* Disk
    const roomOf = (folder: FolderRoom["folder"], path: string, minimum: number) =>
      disk.free(path).pipe(
        Effect.map((free): ReadonlyArray<FolderRoom> => [{ folder, path, free, minimum }]),
        Effect.orElseSucceed((): ReadonlyArray<FolderRoom> => [])
      )
    return [
      ...(yield* roomOf("shared_files", sharedFiles.path, sharedFiles.minFree)),
      ...(general.nodeId === root ? [] : yield* roomOf("outbox", sharedFiles.outbox, sharedFiles.minFree)),
      ...(remoteRun.enabled ? yield* roomOf("runs", remoteRun.directory, 0) : [])
    ]
  }
)
