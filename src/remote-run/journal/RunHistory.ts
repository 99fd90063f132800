/** The runs of the past, and the journals of those that go on. Nothing of a run is held in memory after it. */
import { Context, type Effect, type Option, type Stream } from "effect"
import type { StorageError } from "../../RelayError.ts"
import type { RunStarted } from "../RunEvent.ts"
import type { RunId } from "../RunId.ts"
import type { RunHead, RunSummary } from "../RunRecord.ts"
import type { Journal, JournalSource } from "./JournalSource.ts"
import type { RunKeysService } from "./RunKeys.ts"
import type { ListedRun, RunSelection } from "./RunListing.ts"

/** What keeps runs, and gives them to readers. */
export interface RunHistoryService {
  /** Begins a journal with the run's head and first event. Never fails: what can't be written there goes elsewhere. */
  readonly begin: (id: RunId, head: RunHead, started: RunStarted) => Effect.Effect<Journal>
  /**
   * What was appended to the journal of a run that goes on is where a loss of power leaves it. Never fails: where it can't
   * be, the log says so.
   */
  readonly persist: (id: RunId) => Effect.Effect<void>
  /**
   * Ends the journal of a run: writes what is left, and makes it one of the past, which the list shows by its summary.
   * Nothing is appended to it any more.
   */
  readonly finish: (id: RunId, summary: RunSummary) => Effect.Effect<void>
  /** The journal of a run, which may go on. None: there is no such run. */
  readonly find: (id: RunId) => Effect.Effect<Option.Option<JournalSource>, StorageError>
  /** What the list shows of a run that is over. */
  readonly summary: (id: RunId, source: JournalSource) => Effect.Effect<RunSummary, StorageError>
  /** Runs that are selected, those that go on included, newest first. Found without a look into every journal. */
  readonly list: (selection: RunSelection) => Stream.Stream<ListedRun, StorageError>
  /** The keys of the requests that started runs. */
  readonly keys: RunKeysService
  /** What keeps runs from where they are kept; none: nothing does. */
  readonly problem: Effect.Effect<Option.Option<string>>
  /** Removes what is past its retention or over the size, oldest first, and keys that are too old. */
  readonly prune: Effect.Effect<void>
}

/** Where the journals of runs are kept; `FolderHistory.layer` keeps them in files. */
export class RunHistory extends Context.Tag("rudder-relay/RunHistory")<RunHistory, RunHistoryService>() {}
