/**
 * Entries on their way out. Those that come within one turn of the event loop, as the answers do that several connections
 * bring at once, are removed by one order to the disk: to ask its thread for each costs as much as the removal.
 */
import { randomUUID } from "node:crypto"
import { Deferred, Effect, Exit, FiberId } from "effect"
import type { DiskError, DiskService, DiskStep } from "../../disk/Disk.ts"

interface Removal {
  /** The entry's folder. */
  readonly place: string
  /** Where that is moved, in one piece. */
  readonly gone: string
  readonly outcome: Deferred.Deferred<void, DiskError>
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

/** Removes an entry, in one piece. What can't be removed of it is in nobody's way: the next start removes it. */
export const remove = (removals: Removals, place: string): Effect.Effect<void, DiskError> =>
  Effect.uninterruptible(
    Effect.suspend(() => {
      const removal: Removal = {
        place,
        gone: `${removals.temporary}/${randomUUID()}`,
        outcome: Deferred.unsafeMake(FiberId.none)
      }
      const count = removals.next.push(removal)
      if (count === mostTogether) removals.isFull()
      return count === 1
        ? Effect.andThen(Effect.andThen(gathered(removals), give(removals)), Deferred.await(removal.outcome))
        : Deferred.await(removal.outcome)
    })
  )

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

const give = (removals: Removals) =>
  Effect.suspend(() => {
    const all = removals.next
    removals.next = []
    const { disk } = removals
    // Nothing that is thrown away has to wait for what is still to be moved.
    return Effect.flatMap(Effect.exit(disk.sequence([...all.map(move), ...all.map(discard)])), (exit) => {
      if (Exit.isFailure(exit) && all.length > 1)
        return Effect.forEach(all, (each) => byItself(disk, each), { discard: true })
      for (const each of all) Deferred.unsafeDone(each.outcome, exit)
      return Effect.void
    })
  })

const move = ({ place, gone }: Removal): DiskStep => ({ _tag: "Rename", from: place, to: gone })

const discard = ({ gone }: Removal): DiskStep => ({ _tag: "DiscardFolder", path: gone })

/** An order ends with the first step that fails, which says nothing of the other entries. */
const byItself = (disk: DiskService, removal: Removal) =>
  Effect.flatMap(disk.status(removal.gone), (moved) =>
    disk.sequence([...(moved === undefined ? [move(removal)] : []), discard(removal)])
  ).pipe(
    Effect.exit,
    Effect.map((exit) => Deferred.unsafeDone(removal.outcome, exit))
  )
