/**
 * An outbox that is open: entries that wait for the policy server, or that it refused.
 *
 * Whoever reads or changes what there is of a file is alone with that file meanwhile (`FileLocks`). Of several versions
 * of a file only the newest counts, so a stop between any two steps leaves nothing to repair.
 */
import { type Effect, Option, type Scope } from "effect"
import type { DiskError } from "../../disk/Disk.ts"
import type { Incoming } from "../../disk/Incoming.ts"
import type { StorageError, StorageFull } from "../../RelayError.ts"
import type { EntryName } from "./EntryName.ts"
import type { Attempts, EntryRecord } from "./EntryRecord.ts"

/** How much there is of a kind. */
export interface Amount {
  readonly entries: number
  /** Of content. */
  readonly bytes: number
}

/** How much there is, by the state of the entries. */
export interface Amounts {
  readonly waiting: Amount
  readonly refused: Amount
}

/** An entry as it is to be sent. */
export interface LoadedEntry {
  /** What was asked for; none where that can't be read as what was written. */
  readonly record: Option.Option<EntryRecord>
  /** Whether it is as it was written, as far as it was read. */
  readonly isWhole: boolean
  /** All of the content, where that is small; undefined: it is to be read piece by piece. */
  readonly bytes: Uint8Array | undefined
}

/** An entry that can't be read as one. */
export const damaged: LoadedEntry = { record: Option.none(), isWhole: false, bytes: undefined }

/** What can be done with the entries of an outbox. `DiskError`: the storage failed, and the entry is as it was. */
export interface Spool {
  /** A content on its way in: gone with its scope unless it was committed. Its writes fail with `StorageFull` too. */
  readonly begin: Effect.Effect<Incoming, StorageFull | StorageError, Scope.Scope>
  /** Makes a content an entry that waits, due now: on the disk when this returns. To be done where nothing interrupts. */
  readonly commit: (
    incoming: Incoming,
    record: EntryRecord,
    entry: Pick<EntryName, "key" | "order">
  ) => Effect.Effect<EntryName, DiskError>
  /** Whether there may be versions of a file; false: there are none, and nothing has to be looked at for that. */
  readonly mayHave: (key: string) => boolean
  /** The versions of a file, newest first. */
  readonly versions: (key: string) => Effect.Effect<ReadonlyArray<EntryName>, DiskError>
  /**
   * The same as it was read a moment ago, with all that this process has done since, and without a look: what somebody else
   * has removed may still be among them. Undefined: nothing is known.
   *
   * @param now milliseconds since 1970
   */
  readonly recent: (key: string, now: number) => ReadonlyArray<EntryName> | undefined
  /** All entries of a shard (`EntryName.shardOf`), in any order. */
  readonly shard: (shard: number) => Effect.Effect<ReadonlyArray<EntryName>, DiskError>
  /** The shards that may have entries. */
  readonly shards: () => ReadonlyArray<number>
  /** What was asked for; none where it can't be read as what was written. */
  readonly record: (entry: EntryName) => Effect.Effect<Option.Option<EntryRecord>, DiskError>
  /** What was tried; none where nothing was, or where it can't be read as what was written. */
  readonly attempts: (entry: EntryName) => Effect.Effect<Option.Option<Attempts>, DiskError>
  /** All that it takes to send it. */
  readonly load: (entry: EntryName) => Effect.Effect<LoadedEntry, DiskError>
  /**
   * The content, piece by piece. The memory of a piece is used again for the next one. Throws a `DiskError`; one of which
   * `isNotOfItsKind` is true before the last piece of what is not as it was written.
   */
  readonly content: (entry: EntryName) => AsyncIterable<Uint8Array>
  /**
   * Gives an entry another state and time, and notes what was tried. What is `durable` is on the disk afterwards; where a
   * stop loses the rest, the entry is only tried again sooner.
   */
  readonly change: (
    entry: EntryName,
    next: Pick<EntryName, "state" | "time">,
    options: { readonly attempts?: Attempts; readonly durable: boolean }
  ) => Effect.Effect<EntryName, DiskError>
  /**
   * Removes an entry. One that is `replaced` by a newer version may come back behind a stop, until `syncReplaced`. To be done
   * where nothing interrupts.
   */
  readonly remove: (
    entry: EntryName,
    options?: { readonly replaced: boolean }
  ) => Effect.Effect<void, DiskError>
  /** What was removed from a file's shard does not come back behind a stop. */
  readonly sync: (key: string) => Effect.Effect<void, DiskError>
  /**
   * The same, and nothing to do where no version in that shard was replaced since the last time. Done before a version is
   * sent: else a stop might bring an older one back, which would be sent after it.
   */
  readonly syncReplaced: (key: string) => Effect.Effect<void, DiskError>
  /** Whether `syncReplaced` has something to do. */
  readonly mayComeBack: (key: string) => boolean
  /** Bytes that are missing for this many more by the time of the call, in the outbox or on the disk; 0 when there is room. */
  readonly missing: (size: number) => Effect.Effect<number, DiskError>
  /** How much there is, as it is counted in memory. */
  readonly amounts: () => Amounts
  /** Why the storage can't be used by now, if it can't. */
  readonly problem: Effect.Effect<Option.Option<string>>
}
