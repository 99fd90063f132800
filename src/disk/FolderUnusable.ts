/** A folder of the relay's can't be made, or written, or is another's: the relay does not start. */
import { userInfo } from "node:os"
import { Data } from "effect"

/** A folder that the relay needs is not to be had; the relay does not start. */
export class FolderUnusable extends Data.TaggedError("FolderUnusable")<{
  readonly folder: string
  /** Names the folder, and whose process it was. */
  readonly message: string
}> {}

/** The user that this process runs as, by name where the system knows one. */
const user = (): string => {
  const id = process.getuid?.() ?? 0
  try {
    return `${userInfo().username} (${id})`
  } catch {
    return String(id)
  }
}

/** The error for a folder, with the user that the process runs as. */
export const because = (folder: string, reason: string): FolderUnusable =>
  new FolderUnusable({
    folder,
    message: `the folder ${folder} can't be used by the user ${user()}: ${reason}`
  })
