/** Which runs there are: those whose files are in the folders of times, and those that have no file there. */
import { Effect, Option, Schema, Stream } from "effect"
import type { StorageError } from "../../RelayError.ts"
import { type RunId, startedAt } from "../RunId.ts"
import { RunSummary } from "../RunRecord.ts"
import * as RunFolders from "./RunFolders.ts"
import { type IndexedRun, isNarrow, type RunIndex, type RunSearch } from "./RunIndex.ts"

/** Which runs are asked for; none of a field: any. */
export interface RunSelection extends RunSearch {
  /** Started before this one. */
  readonly before: Option.Option<RunId>
  /** Started at this time or later. Milliseconds since 1970. */
  readonly since: Option.Option<number>
  /** Whether it goes on. */
  readonly state: Option.Option<"running" | "ended">
}

/** All runs. */
export const everything: RunSelection = {
  before: Option.none(),
  since: Option.none(),
  node: Option.none(),
  actor: Option.none(),
  state: Option.none()
}

/** A run that was found. */
export interface ListedRun {
  readonly id: RunId
  /** None: it goes on, or only its journal has it. */
  readonly summary: Option.Option<RunSummary>
}

/** What is listed. */
export interface Listed {
  readonly folders: RunFolders.RunFolders
  readonly index: RunIndex
  /** Runs that are there whether they have a file or not. */
  readonly inUse: () => ReadonlySet<RunId>
  readonly isGoingOn: (id: RunId) => boolean
  /** Whether a run is one that is searched for, by its journal. */
  readonly matches: (id: RunId, search: RunSearch) => Effect.Effect<boolean, StorageError>
}

/** Says in the log that the folder of all runs can't be read. */
export const logUnreadableFolder = ({ root }: RunFolders.RunFolders, { message }: StorageError) =>
  Effect.logWarning("the folder of runs can't be read").pipe(
    Effect.annotateLogs({ folder: root, problem: message })
  )

/** Says in the log that a run is left out. */
export const logUnreadableRun = (run: RunId, { message }: StorageError) =>
  Effect.logWarning("a run in the history can't be read").pipe(Effect.annotateLogs({ run, problem: message }))

/** Runs that are not on the disk can be listed all the same; where there are none, the disk's error is the answer. */
const times = ({ folders, inUse }: Listed) =>
  Effect.catchAll(folders.folders, (error) =>
    inUse().size === 0
      ? Effect.fail(error)
      : Effect.as(logUnreadableFolder(folders, error), [] as ReadonlyArray<string>)
  )

/** Newest first: the times that have a folder, and those of runs that have none because it can't be written. */
const timesOf = (listed: Listed, { before, since }: RunSelection) =>
  Effect.map(times(listed), (found) =>
    [...new Set([...found, ...Array.from(listed.inUse(), RunFolders.folderOf)])]
      .filter((time) =>
        Option.match(before, { onNone: () => true, onSome: (id) => time <= RunFolders.folderOf(id) })
      )
      .filter((time) =>
        Option.match(since, { onNone: () => true, onSome: (at) => time >= RunFolders.folderAt(at) })
      )
      .sort()
      .reverse()
  )

const isSelected = ({ isGoingOn }: Listed, { before, since, state }: RunSelection) => {
  const [limit, least] = [Option.getOrUndefined(before), Option.getOrUndefined(since)]
  const wanted = Option.getOrUndefined(state)
  return (id: RunId): boolean =>
    (limit === undefined || id < limit) &&
    (least === undefined || startedAt(id) >= least) &&
    (wanted === undefined || (wanted === "running") === isGoingOn(id))
}

/** In any order. Runs that go on are in no need of the disk: there may be very many that are over. */
const idsOf = (listed: Listed, selection: RunSelection, time: string) =>
  Effect.gen(function* () {
    const here = Array.from(listed.inUse()).filter((id) => RunFolders.folderOf(id) === time)
    const stored = Option.contains(selection.state, "running") ? [] : yield* listed.folders.runs(time)
    return [...stored, ...here].filter(isSelected(listed, selection))
  })

const decodeSummary = Schema.decodeOption(Schema.parseJson(RunSummary))

const found = ({ isGoingOn }: Listed, id: RunId, indexed: IndexedRun | undefined): ListedRun => {
  const json = isGoingOn(id) ? undefined : indexed?.summary
  return { id, summary: Option.flatMap(Option.fromNullable(json), (text) => decodeSummary(text)) }
}

/** Where the index does not say, the journal does. One that can't be read is in the log, and is left out. */
const isFound = (listed: Listed, selection: RunSelection, id: RunId, indexed: IndexedRun | undefined) =>
  indexed?.isComplete === true || !isNarrow(selection)
    ? Effect.succeed(true)
    : Effect.catchAll(listed.matches(id, selection), (error) => Effect.as(logUnreadableRun(id, error), false))

const nothingIndexed: ReadonlyMap<string, IndexedRun> = new Map()

/** Of one time those that may be found, newest first, with what the index says of them. */
const candidatesOf = (listed: Listed, selection: RunSelection, time: string) =>
  Effect.gen(function* () {
    const ids = yield* idsOf(listed, selection, time)
    const indexed = ids.length === 0 ? nothingIndexed : yield* listed.index.read(time, selection)
    // There may be very many that are not searched for: nothing more is made of them.
    const left = ids.filter((id) => {
      const run = indexed.get(id)
      return run === undefined || !run.isComplete || run.matches
    })
    return [...new Set(left)]
      .sort()
      .reverse()
      .map((id) => ({ id, indexed: indexed.get(id) }))
  })

/** Those that are selected, newest first. */
export const list = (listed: Listed, selection: RunSelection): Stream.Stream<ListedRun, StorageError> =>
  Stream.fromIterableEffect(timesOf(listed, selection)).pipe(
    Stream.mapEffect((time) => candidatesOf(listed, selection, time)),
    Stream.mapConcat((candidates) => candidates),
    Stream.filterEffect(({ id, indexed }) => isFound(listed, selection, id, indexed)),
    Stream.map(({ id, indexed }) => found(listed, id, indexed))
  )
