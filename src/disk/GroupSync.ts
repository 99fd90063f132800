/**
 * One sync of a folder for all who wait for it together. Who asks while one is under way waits for the next: what it
 * changed may have come too late for the first.
 */
import { Effect } from "effect"
import type { DiskError } from "./Disk.ts"

type Told = (outcome: Effect.Effect<void, DiskError>) => void

/**
 * Syncs of paths, in groups. An interruption leaves the group, and never its sync.
 *
 * @param sync begins one, and tells once how it ended
 */
export const make = (
  sync: (path: string, ended: Told) => void
): ((path: string) => Effect.Effect<void, DiskError>) => {
  /** Those who wait for the next sync of a path; a path that is not here has none under way. */
  const next = new Map<string, Set<Told>>()

  const begin = (path: string, group: ReadonlySet<Told>) => {
    const following = new Set<Told>()
    next.set(path, following)
    sync(path, (outcome) => {
      if (following.size > 0) begin(path, following)
      else next.delete(path)
      for (const told of group) told(outcome)
    })
  }

  return (path) =>
    Effect.async((resume) => {
      const group = next.get(path)
      if (group === undefined) return begin(path, new Set([resume]))
      group.add(resume)
      return Effect.sync(() => group.delete(resume))
    })
}
