/** A journal that is over, in a file of its own. */
import { Effect } from "effect"
import type { JournalSource } from "./JournalSource.ts"

/** The journal that is in the file at `path`, of `size` bytes; of this run, where that is known. */
export const make = (path: string, size: number, run?: string): JournalSource => ({
  ...(run === undefined ? {} : { run }),
  partAt: () => ({ to: size, paths: [path], read: () => Effect.succeed(-1) }),
  length: () => size,
  unwritten: () => undefined,
  recent: () => undefined,
  ended: () => true,
  whenGrown: (_length, wake) => {
    wake()
    return () => {}
  }
})
