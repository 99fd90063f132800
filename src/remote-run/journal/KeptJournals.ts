/** Journals of runs that are over, which could not be brought to their place: they can be read for as long as the process lives. */
import { Effect } from "effect"
import type { RunId } from "../RunId.ts"
import type { RunJournal } from "./RunJournal.ts"

/** Each may hold a descriptor. */
const most = 256

/** A bounded number of them: the oldest makes room for the newest. */
export class KeptJournals {
  /** Oldest first. */
  private readonly journals = new Map<RunId, RunJournal>()

  get(id: RunId): RunJournal | undefined {
    return this.journals.get(id)
  }

  ids(): Iterable<RunId> {
    return this.journals.keys()
  }

  /** Bytes of all of them. */
  get size(): number {
    let sum = 0
    for (const journal of this.journals.values()) sum += journal.length()
    return sum
  }

  add(id: RunId, journal: RunJournal): void {
    this.journals.set(id, journal)
  }

  /** Lets go of those that are too old, and of the oldest while they are too many or `isTooMuch`. */
  prune(isExpired: (id: RunId) => boolean, isTooMuch: () => boolean): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      for (const [id, journal] of this.journals) {
        if (!isExpired(id) && this.journals.size <= most && !isTooMuch()) return
        this.journals.delete(id)
        yield* journal.discard
      }
    })
  }
}
