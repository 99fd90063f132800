/** How much an outbox holds, by what the names of its entries say: nothing has to be read for it. */
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

  /** Counts bytes of one content on its way in, until `end`; what comes after that is not counted. */
  count(): { readonly add: (size: number) => void; readonly end: () => void } {
    let bytes = 0
    let isOver = false
    return {
      add: (size) => {
        if (isOver) return
        bytes += size
        this.incoming += size
      },
      end: () => {
        if (!isOver) this.incoming -= bytes
        isOver = true
      }
    }
  }
}
