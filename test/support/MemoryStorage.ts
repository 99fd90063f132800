/** An outbox's storage in memory, such as a program that embeds the relay might have: entries are values in a map. */
import { Effect, Layer, Option } from "effect"
import { DiskError } from "../../src/disk/Disk.ts"
import type { Incoming } from "../../src/disk/Incoming.ts"
import * as EntryName from "../../src/shared-files/outbox/EntryName.ts"
import type { Attempts, EntryRecord } from "../../src/shared-files/outbox/EntryRecord.ts"
import { type MakeRoom, OutboxStorage } from "../../src/shared-files/outbox/OutboxStorage.ts"
import type { Amount, Spool } from "../../src/shared-files/outbox/Spool.ts"
import { metadataOf, nameOf } from "./Outboxes.ts"

/** An entry, as it is kept. */
export interface Kept {
  readonly name: EntryName.EntryName
  readonly record: Option.Option<EntryRecord>
  readonly attempts: Option.Option<Attempts>
  readonly content: Buffer
}

/** An entry to be put there. */
export interface Given {
  /** Of the file. Default: `file`. */
  readonly fileId?: string
  /** Which version of it: a later one has a greater number. Default: 1. */
  readonly version?: number
  readonly state?: EntryName.EntryName["state"]
  /** When it was accepted. Milliseconds since 1970. Default: 0. */
  readonly accepted?: number
  /** When it is due. Default: since it was accepted. */
  readonly time?: number
}

/** What a process leaves here, the next one finds. */
export class MemoryStorage {
  /** By their ids. */
  readonly kept = new Map<string, Kept>()
  /** All that was asked that changes something or waits for the disk, in this order. */
  readonly calls: Array<string> = []
  /** Whether a call fails, as a broken disk's would. */
  fails: (call: string) => boolean = () => false
  /** How often it was opened, and is open now. */
  opened = 0
  open = 0
  private readonly incoming = new Map<string, Array<Buffer>>()
  private readonly maxSize: number

  /** @param maxSize bytes of content */
  constructor(maxSize = Number.POSITIVE_INFINITY) {
    this.maxSize = maxSize
  }

  /** Puts an entry there, as a process before may have left it; gives its name. */
  put({
    fileId = "file",
    version = 1,
    state = "waiting",
    accepted = 0,
    time
  }: Given = {}): EntryName.EntryName {
    const content = `version ${version}`
    const file = nameOf(fileId)
    const name: EntryName.EntryName = {
      key: EntryName.keyOf(file),
      order: version.toString(16).padStart(16, "0"),
      size: content.length,
      state,
      time: time ?? accepted
    }
    const record = { name: file, began: accepted, accepted, metadata: metadataOf(content) }
    this.keep({
      name,
      record: Option.some(record),
      attempts: Option.none(),
      content: Buffer.from(content)
    })
    return name
  }

  /** What is there of a version; undefined: nothing. */
  of(entry: EntryName.EntryName): Kept | undefined {
    return this.kept.get(EntryName.idOf(entry))
  }

  private keep(kept: Kept): void {
    this.kept.set(EntryName.idOf(kept.name), kept)
  }

  private call<A>(call: string, run: () => A): Effect.Effect<A, DiskError> {
    return Effect.suspend(() => {
      this.calls.push(call)
      return this.fails(call)
        ? new DiskError({ message: `${call} failed`, code: undefined })
        : Effect.sync(run)
    })
  }

  private get names(): ReadonlyArray<EntryName.EntryName> {
    return [...this.kept.values()].map(({ name }) => name)
  }

  private amount(state: EntryName.EntryName["state"]): Amount {
    const found = this.names.filter((name) => name.state === state)
    return { entries: found.length, bytes: found.reduce((sum, { size }) => sum + size, 0) }
  }

  private missing(size: number): number {
    const incoming = [...this.incoming.values()].flat()
    const bytes = [...incoming, ...[...this.kept.values()].map(({ content }) => content)]
    return Math.max(0, bytes.reduce((sum, { length }) => sum + length, 0) + size - this.maxSize)
  }

  private begin(makeRoom: MakeRoom): Spool["begin"] {
    return Effect.acquireRelease(
      Effect.sync((): Incoming => {
        const name = String(this.incoming.size + this.kept.size)
        const pieces: Array<Buffer> = []
        this.incoming.set(name, pieces)
        return {
          name,
          write: (bytes) =>
            Effect.suspend(() =>
              this.missing(bytes.length) > 0 ? makeRoom(bytes.length) : Effect.void
            ).pipe(Effect.andThen(Effect.sync(() => pieces.push(Buffer.from(bytes)))), Effect.asVoid),
          sync: () => Effect.void,
          held: () => undefined
        }
      }),
      ({ name }) => Effect.sync(() => this.incoming.delete(name))
    )
  }

  private versions(key: string): Effect.Effect<ReadonlyArray<EntryName.EntryName>, DiskError> {
    return this.call("versions", () => this.names.filter((name) => name.key === key).sort(EntryName.byAge))
  }

  /** The storage as it is opened. */
  spool(makeRoom: MakeRoom = () => Effect.void): Spool {
    return {
      begin: this.begin(makeRoom),
      commit: (incoming, record, { key, order }) =>
        this.call("commit", () => {
          const content = Buffer.concat(this.incoming.get(incoming.name) ?? [])
          this.incoming.delete(incoming.name)
          const name = { key, order, size: content.length, state: "waiting" as const, time: record.accepted }
          this.keep({ name, record: Option.some(record), attempts: Option.none(), content })
          return name
        }),
      mayHave: (key) => this.names.some((name) => name.key === key),
      versions: (key) => this.versions(key),
      recent: () => undefined,
      mayComeBack: () => true,
      shard: (shard) =>
        this.call("shard", () => this.names.filter(({ key }) => EntryName.shardOf(key) === shard)),
      shards: () => [...new Set(this.names.map(({ key }) => EntryName.shardOf(key)))],
      record: (entry) =>
        this.call("record", () =>
          Option.flatMap(Option.fromNullable(this.of(entry)), ({ record }) => record)
        ),
      attempts: (entry) =>
        this.call("attempts", () =>
          Option.flatMap(Option.fromNullable(this.of(entry)), ({ attempts }) => attempts)
        ),
      load: (entry) =>
        this.call("load", () => {
          const { record, content } = this.of(entry) ?? { record: Option.none(), content: undefined }
          return { record, isWhole: content?.length === entry.size, bytes: undefined }
        }),
      content: (entry) => {
        const { content } = this.of(entry) ?? { content: Buffer.alloc(0) }
        return (async function* () {
          yield content
        })()
      },
      change: (entry, next, { attempts }) =>
        this.call("change", () => {
          const before = this.of(entry)
          if (before === undefined) throw new Error("what is not there is changed")
          const name = { ...entry, ...next }
          this.keep({
            ...before,
            name,
            attempts: Option.orElse(Option.fromNullable(attempts), () => before.attempts)
          })
          return name
        }),
      remove: (entry) => this.call("remove", () => void this.kept.delete(EntryName.idOf(entry))),
      sync: () => this.call("sync", () => {}),
      syncReplaced: () => this.call("syncReplaced", () => {}),
      missing: (size) => this.call("missing", () => this.missing(size)),
      amounts: () => ({ waiting: this.amount("waiting"), refused: this.amount("refused") }),
      problem: Effect.succeed(Option.none())
    }
  }

  /** This storage, for an outbox. */
  get layer() {
    return Layer.succeed(OutboxStorage, {
      open: (makeRoom) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            this.opened++
            this.open++
            return this.spool(makeRoom)
          }),
          () => Effect.sync(() => this.open--)
        )
    })
  }
}
