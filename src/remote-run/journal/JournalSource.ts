/** A run's journal for its readers and writers, who need not know where its bytes are kept. */
import type { Error as PlatformError } from "@effect/platform"
import type { Effect } from "effect"
import type { Kind } from "./JournalRecord.ts"

/** A stretch of a journal that is in one file. */
export interface JournalPart {
  /** Behind its last byte. */
  readonly to: number
  /** Where the file is: it moves, once, from the first of these to the second. None: it can only be read here. */
  readonly paths: ReadonlyArray<string>
  /** Reads from an offset of the journal on; -1: its bytes are elsewhere meanwhile. Only where there are no paths. */
  readonly read: (offset: number, into: Uint8Array) => Effect.Effect<number, PlatformError.PlatformError>
}

/** What a reader needs of a journal, whether its run goes on or is over. Offsets are bytes from its beginning. */
export interface JournalSource {
  /** Whose it is. Absent where that does not count. */
  readonly run?: string
  /** In which file an offset is. */
  readonly partAt: (offset: number) => JournalPart
  /** Records before this offset can be read. */
  readonly length: () => number
  /** Bytes from `offset` on that are not in the file because it could not be written. */
  readonly unwritten: (offset: number) => Buffer | undefined
  /** Bytes from `offset` on that are in the file, and in memory still: they need not be read. More may be behind them. */
  readonly recent: (offset: number) => Buffer | undefined
  /** Nothing will be appended any more. */
  readonly ended: () => boolean
  /** Calls `wake` once there is more than `length`, or the journal has ended: at once, or later, unless the function that it gives is called. */
  readonly whenGrown: (length: number, wake: () => void) => () => void
}

/** Counts bytes of output that were read and not kept. */
export interface OutputAccount {
  dropped: number
}

/** Where a record of output cuts a line: see `Piece`. */
export interface RecordFlags {
  readonly continued: boolean
  readonly open: boolean
}

/** The journal of a run that goes on: appending is synchronous, and never waits for the disk or for a reader. */
export interface Journal extends JournalSource {
  /** Its file stays open from now on: agents are about to print. Until then a waiting run holds no descriptor. */
  readonly keepOpen: () => void
  /** Appends an event; `previous` is where the node's record before begins, 0: there is none. Gives where this one begins. */
  readonly event: (kind: Kind, node: string, json: unknown, previous: number) => number
  /** Appends a copy of output. Gives where the record that holds it begins, or `previous` when it was dropped. */
  readonly output: (
    kind: Kind,
    node: string,
    bytes: Uint8Array,
    flags: RecordFlags,
    previous: number,
    account: OutputAccount
  ) => number
  /** False when too much is on its way to the disk; then `resume` is called once there is room again. */
  readonly accepting: (resume: () => void) => boolean
}
