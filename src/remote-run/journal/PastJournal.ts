/** A journal that is over, in a file of its own. */
import { Effect } from "effect"
import type { JournalSource } from "./JournalSource.ts"

/** The journal that is in the file at `path`, of `size` bytes. */
export const make = (path: string, size: number): JournalSource => ({
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
