/** Looks at the disk that those share who ask together: each path is looked at once, after all of them had asked. */
import type { Batch } from "../EventLoop.ts"
import type { DiskService } from "./Disk.ts"

/** What is found by them was so at some time since `since`. */
export interface Looks {
  readonly look: DiskService["look"]
  /** Before the first look. Milliseconds since 1970. */
  readonly since: number
}

const together = (disk: Pick<DiskService, "look">, since: number): Looks => {
  const found = new Map<string, ReturnType<DiskService["look"]>>()
  return {
    since,
    look: (path) => {
      const before = found.get(path)
      if (before !== undefined) return before
      const now = disk.look(path)
      found.set(path, now)
      return now
    }
  }
}

/**
 * Gives those of a batch; undefined: who asks is alone, or the batch is over, and what it found counts no more.
 *
 * @param now milliseconds since 1970
 */
export const ofBatches = (
  disk: Pick<DiskService, "look">,
  now: () => number
): ((batch: Batch | undefined) => Looks | undefined) => {
  let last: Batch | undefined
  let looks: Looks | undefined
  return (batch) => {
    if (batch?.isGoing !== true) return undefined
    if (looks === undefined || batch !== last) {
      last = batch
      looks = together(disk, now())
    }
    return looks
  }
}
