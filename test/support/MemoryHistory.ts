/** A history of runs in memory, such as a program that embeds the relay might have: a journal is a buffer. */
import { Effect, Layer, Option, Stream } from "effect"
import { encodeHeader, Kind } from "../../src/remote-run/journal/JournalRecord.ts"
import type {
  Journal,
  JournalPart,
  OutputAccount,
  RecordFlags
} from "../../src/remote-run/journal/JournalSource.ts"
import { RunHistory, type RunHistoryService } from "../../src/remote-run/journal/RunHistory.ts"
import type { KnownKey, RunKeysService } from "../../src/remote-run/journal/RunKeys.ts"
import type { RunSelection } from "../../src/remote-run/journal/RunListing.ts"
import { type RunId, startedAt } from "../../src/remote-run/RunId.ts"
import type { RunKey } from "../../src/remote-run/RunKey.ts"
import type { RunSummary } from "../../src/remote-run/RunRecord.ts"

/** Of an event: it is no piece of a line. */
const whole: RecordFlags = { continued: false, open: false }

/** A journal whose bytes are here alone: it has no file. */
class MemoryJournal implements Journal {
  private bytes = Buffer.alloc(0)
  private over = false
  private readonly waiting = new Set<() => void>()

  readonly length = (): number => this.bytes.length
  readonly ended = (): boolean => this.over
  readonly unwritten = (): undefined => undefined
  readonly partAt = (): JournalPart => ({
    to: this.bytes.length,
    paths: [],
    read: (offset, into) => Effect.sync(() => this.bytes.copy(into, 0, offset))
  })

  readonly recent = (): undefined => undefined

  readonly whenGrown = (length: number, wake: () => void): (() => void) => {
    if (this.length() > length || this.over) wake()
    else this.waiting.add(wake)
    return () => this.waiting.delete(wake)
  }

  keepOpen(): void {}

  event(kind: Kind, node: string, json: unknown, previous: number): number {
    return this.append(kind, node, Buffer.from(JSON.stringify(json)), whole, previous)
  }

  output(
    kind: Kind,
    node: string,
    bytes: Uint8Array,
    flags: RecordFlags,
    previous: number,
    _account: OutputAccount
  ): number {
    return this.append(kind, node, bytes, flags, previous)
  }

  accepting(): boolean {
    return true
  }

  /** Nothing more will come. */
  end(): void {
    this.over = true
    this.wake()
  }

  private append(kind: Kind, node: string, bytes: Uint8Array, flags: RecordFlags, previous: number): number {
    const at = this.bytes.length
    this.bytes = Buffer.concat([this.bytes, encodeHeader(kind, node, bytes.length, previous, flags), bytes])
    this.wake()
    return at
  }

  private wake(): void {
    const woken = [...this.waiting]
    this.waiting.clear()
    for (const wake of woken) wake()
  }
}

/** A run, as it is kept. */
interface KeptRun {
  readonly journal: MemoryJournal
  readonly nodes: ReadonlyArray<string>
  readonly actor: string | undefined
  /** None: it goes on. */
  readonly summary: Option.Option<RunSummary>
}

/** What a relay leaves here, the next one finds. */
export class MemoryHistory {
  private readonly runs = new Map<RunId, KeptRun>()
  private readonly known = new Map<RunKey, KnownKey>()
  private readonly turns = new Map<RunKey, Effect.Semaphore>()

  private readonly keys: RunKeysService = {
    alone: (key, effect) =>
      Effect.suspend(() => {
        const turns = this.turns.get(key) ?? Effect.unsafeMakeSemaphore(1)
        this.turns.set(key, turns)
        return turns.withPermits(1)(effect)
      }),
    find: (key) => Effect.sync(() => Option.fromNullable(this.known.get(key))),
    reserve: (key, order, run) => Effect.sync(() => this.known.set(key, { run, order, isBinding: false })),
    bind: (key) =>
      Effect.sync(() => {
        const known = this.known.get(key)
        if (known !== undefined) this.known.set(key, { ...known, isBinding: true })
      })
  }

  private readonly service: RunHistoryService = {
    begin: (id, head, started) =>
      Effect.sync(() => {
        const journal = new MemoryJournal()
        journal.event(Kind.head, "", head, 0)
        journal.event(Kind.run, "", started, 0)
        this.runs.set(id, { journal, nodes: started.nodes, actor: head.by?.actor, summary: Option.none() })
        return journal
      }),
    persist: () => Effect.void,
    finish: (id, summary) =>
      Effect.sync(() => {
        const run = this.runs.get(id)
        if (run === undefined) return
        this.runs.set(id, { ...run, summary: Option.some(summary) })
        run.journal.end()
      }),
    find: (id) => Effect.sync(() => Option.map(this.run(id), ({ journal }) => journal)),
    summary: (id) =>
      Effect.orDie(Effect.suspend(() => Option.flatMap(this.run(id), ({ summary }) => summary))),
    list: (selection) => Stream.suspend(() => Stream.fromIterable(this.list(selection))),
    keys: this.keys,
    problem: Effect.succeedNone,
    prune: Effect.void
  }

  /** This history, for a relay. */
  readonly layer = Layer.succeed(RunHistory, this.service)

  private run(id: RunId): Option.Option<KeptRun> {
    return Option.fromNullable(this.runs.get(id))
  }

  private list({ before, since, node, actor, state }: RunSelection) {
    const holds = <A>(wanted: Option.Option<A>, test: (value: A) => boolean) =>
      Option.match(wanted, { onNone: () => true, onSome: test })
    return [...this.runs]
      .filter(
        ([id, run]) =>
          holds(before, (limit) => id < limit) &&
          holds(since, (least) => startedAt(id) >= least) &&
          holds(node, (one) => run.nodes.includes(one)) &&
          holds(actor, (one) => run.actor === one) &&
          holds(state, (one) => (one === "ended") === Option.isSome(run.summary))
      )
      .map(([id, { summary }]) => ({ id, summary }))
      .sort((a, b) => (a.id < b.id ? 1 : -1))
  }
}
