/**
 * Entries on their way out. Those that come within one turn of the event loop, as the answers do that several connections
 * bring at once, are removed by one order to the disk: to ask its thread for each costs as much as the removal.
 */
import { randomUUID } from "node:crypto"
import { Effect, Option } from "effect"
import type { DiskError, DiskService, DiskStep } from "../../disk/Disk.ts"
import * as Outcome from "../../Outcome.ts"

/** An entry that is to go. */
export interface Leaving {
  readonly path: string
  /** It is a folder, as older relays made them. */
  readonly isFolder: boolean
  /** The file beside it that says what was tried; undefined: there is none. */
  readonly attempts: string | undefined
}

interface Removal {
  readonly entry: Leaving
  /** Where a folder is moved, in one piece. */
  readonly gone: string
  readonly outcome: Outcome.Outcome<void, DiskError>
}

/** What removes entries. */
export interface Removals {
  readonly disk: DiskService
  /** The folder for what is neither there nor gone. */
  readonly temporary: string
  /** Those that the next order is to have in it. The first of them gives that order. */
  next: Array<Removal>
  /** Has that order given now. */
  isFull: () => void
}

/** Nothing is on its way. */
export const make = (disk: DiskService, temporary: string): Removals => ({
  disk,
  temporary,
  next: [],
  isFull: () => {}
})

/**
 * Removes an entry, in one piece. What can't be removed of a folder is in nobody's way: the next start removes it. A file
 * that is not there is gone. To be called in a step of an effect that nothing interrupts.
 */
export const remove = (removals: Removals, entry: Leaving): Effect.Effect<void, DiskError> => {
  const outcome = Outcome.make<void, DiskError>()
  const count = removals.next.push({ entry, gone: `${removals.temporary}/${randomUUID()}`, outcome })
  if (count === mostTogether) removals.isFull()
  return count === 1
    ? Effect.flatMap(gathered(removals), () => Effect.flatMap(give(removals), () => Outcome.wait(outcome)))
    : Outcome.wait(outcome)
}

/** So many go at once: while they are removed, answers are heard that came with theirs. */
const mostTogether = 4

/** All have come that come in this turn, or as many as go together. */
const gathered = (removals: Removals) =>
  Effect.async<void>((resume) => {
    const done = () => {
      clearImmediate(turn)
      removals.isFull = () => {}
      resume(Effect.void)
    }
    const turn = setImmediate(done)
    removals.isFull = done
  })

/** To be called in a step of an effect, as `AtOnce` is. */
const give = (removals: Removals) => {
  const all = removals.next
  removals.next = []
  const { disk } = removals
  // Nothing that is thrown away has to wait for what is still to be removed.
  return Effect.matchCauseEffect(disk.sequence([...all.map(take), ...all.flatMap(discard)]), {
    onFailure: () => Effect.forEach(all, (each) => byItself(disk, each), { discard: true }),
    onSuccess: () => {
      for (const each of all) Outcome.end(each.outcome, Effect.void)
      return Effect.void
    }
  })
}

/** From then on it is no entry any more. */
const take = ({ entry, gone }: Removal): DiskStep =>
  entry.isFolder ? { _tag: "Rename", from: entry.path, to: gone } : { _tag: "Remove", path: entry.path }

const discard = ({ entry, gone }: Removal): ReadonlyArray<DiskStep> => [
  ...(entry.isFolder ? [{ _tag: "DiscardFolder", path: gone } as const] : []),
  ...(entry.attempts === undefined ? [] : [{ _tag: "Discard", path: entry.attempts } as const])
]

/** An order ends with the first step that fails, which says nothing of the other entries. */
const byItself = (disk: DiskService, removal: Removal) =>
  (removal.entry.isFolder ? folderByItself(disk, removal) : fileByItself(disk, removal)).pipe(
    Effect.catchAll((error) => unlessGone(disk, removal, error)),
    Effect.exit,
    Effect.map((exit) => Outcome.end(removal.outcome, exit))
  )

/** What failed may have been done all the same, or before: an entry that is gone counts no more. */
const unlessGone = (disk: DiskService, { entry }: Removal, error: DiskError) =>
  Effect.flatMap(Effect.option(disk.status(entry.path)), (found) =>
    Option.isSome(found) && found.value === undefined ? Effect.void : error
  )

const folderByItself = (disk: DiskService, removal: Removal) =>
  Effect.flatMap(disk.status(removal.gone), (moved) =>
    disk.sequence([...(moved === undefined ? [take(removal)] : []), ...discard(removal)])
  )

const fileByItself = (disk: DiskService, removal: Removal) =>
  Effect.catchIf(
    disk.sequence([take(removal), ...discard(removal)]),
    ({ code }) => code === "EISDIR" || code === "EPERM",
    // A folder that somebody put in the place of a file.
    () => folderByItself(disk, { ...removal, entry: { ...removal.entry, isFolder: true } })
  )
