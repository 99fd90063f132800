/** How much an outbox holds, by what the names of its entries say: nothing has to be read for it. */
import { Effect, type Scope } from "effect"
import * as Acquired from "../../Acquired.ts"
import type { EntryName } from "./EntryName.ts"
import type { Amount, Amounts } from "./Spool.ts"

/** The sums of an outbox. */
export class Tally {
  private readonly waiting = { entries: 0, bytes: 0 }
  private readonly refused = { entries: 0, bytes: 0 }
  /** Of contents on their way in. */
  private incoming = 0

  /** An entry came. */
  add(entry: EntryName): void {
    this.change(entry, 1)
  }

  /** An entry went. */
  subtract(entry: EntryName): void {
    this.change(entry, -1)
  }

  private change({ state, size }: EntryName, sign: 1 | -1): void {
    this[state].entries += sign
    this[state].bytes += sign * size
  }

  /** Of all contents, also of those on their way in. */
  get bytes(): number {
    return this.waiting.bytes + this.refused.bytes + this.incoming
  }

  /** What is held now, without what is on its way in. */
  get amounts(): Amounts {
    const copy = ({ entries, bytes }: Amount): Amount => ({ entries, bytes })
    return { waiting: copy(this.waiting), refused: copy(this.refused) }
  }

  /** Counts bytes of one content on its way in, until the scope ends; what comes after that is not counted. */
  readonly counting: Effect.Effect<(size: number) => void, never, Scope.Scope> = Effect.map(
    Acquired.acquire(
      () => ({ bytes: 0, ended: false }),
      (content) =>
        Effect.sync(() => {
          content.ended = true
          this.incoming -= content.bytes
        })
    ),
    (content) => (size) => {
      if (content.ended) return
      content.bytes += size
      this.incoming += size
    }
  )
}
