/** Room on the file systems of the relay's folders. */
import * as fs from "node:fs/promises"
import { Effect } from "effect"
import type { Settings } from "../../config/Settings.ts"
import { type Finding, type Findings, finding, nothing, together } from "./Finding.ts"
import * as RelayFolder from "./RelayFolder.ts"
import { nearestThere, system } from "./SystemCall.ts"

const MiB = 1024 * 1024

const size = (bytes: number): string => `${Math.floor(bytes / MiB)} MiB`

/** A folder that can't be looked at is told of elsewhere. */
const ofFolder = ({ key, path }: RelayFolder.Named, { sharedFiles: { minFree } }: Settings): Findings =>
  Effect.flatMap(nearestThere(path), (there) => system(() => fs.statfs(there))).pipe(
    Effect.map(({ bavail, bsize, ffree, files }): ReadonlyArray<Finding> => {
      const told = (message: string) => [finding("warning", "room", { key, file: path, message })]
      const free = bavail * bsize
      if (files > 0 && ffree === 0) return told(`the file system of ${path} has no room for another file`)
      if (key === "remote_run.directory")
        return free < MiB ? told(`the file system of ${path} is full: runs are not kept`) : nothing
      return free < minFree
        ? told(
            `${size(free)} are free for ${path}, less than shared_files.min_free (${size(minFree)}): files are refused with 507`
          )
        : nothing
    }),
    Effect.orElseSucceed(() => nothing)
  )

/** Where there is less than the relay leaves to others. */
export const wrong = (settings: Settings): Findings =>
  together(RelayFolder.all(settings).map((one) => ofFolder(one, settings)))
