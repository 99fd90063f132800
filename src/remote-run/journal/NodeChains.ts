/**
 * The records of each node, as they follow each other in a journal: what a reader of that node's part goes back along. A
 * sub-relay that is a node of the run too, and whose own words are passed on, has two such chains under one id.
 */
import { type JournalRecord, Kind } from "./JournalRecord.ts"

interface Chain {
  /** Where its last record begins. Bytes from the journal's beginning. */
  last: number
  /** It began with the node's start. */
  readonly isStarted: boolean
}

/** The chains that no end, and no mark that stands for one, has closed. */
export class NodeChains {
  private readonly open = new Map<string, Array<Chain>>()

  /** Takes the record that begins at this offset; they come in their order. */
  meet(record: JournalRecord, node: string, at: number): void {
    const { kind, previous } = record
    if (kind === Kind.end || kind === Kind.passed) this.close(node, previous)
    if (kind !== Kind.start && kind !== Kind.stdout && kind !== Kind.stderr) return
    const chains = this.open.get(node) ?? []
    const known = previous > 0 ? chains.find(({ last }) => last === previous) : undefined
    if (known !== undefined) known.last = at
    else this.open.set(node, [...chains, { last: at, isStarted: kind === Kind.start }])
  }

  /** Where the last record of the node's own part begins; 0: it has none. That part is closed by this. */
  take(node: string): number {
    const chains = this.open.get(node) ?? []
    const { last = 0 } = chains.find(({ isStarted }) => isStarted) ?? chains[0] ?? {}
    this.close(node, last)
    return last
  }

  /** Where the last records of the other parts begin: lines of sub-relays that do not say whose they are. */
  left(): ReadonlyArray<{ readonly node: string; readonly last: number }> {
    return [...this.open].flatMap(([node, chains]) => chains.map(({ last }) => ({ node, last })))
  }

  private close(node: string, previous: number): void {
    const rest = this.open.get(node)?.filter(({ last }) => last !== previous) ?? []
    if (rest.length > 0) this.open.set(node, rest)
    else this.open.delete(node)
  }
}
