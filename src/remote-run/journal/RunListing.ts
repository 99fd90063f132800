/** Which runs there are: those whose files are in the folders of times, and those that have no file there. */
import { Effect, Option, Stream } from "effect"
import type { StorageError } from "../../RelayError.ts"
import type { RunId } from "../RunId.ts"
import * as RunFolders from "./RunFolders.ts"

/** What is listed. */
export interface Listed {
  readonly folders: RunFolders.RunFolders
  /** Runs that are there whether they have a file or not. */
  readonly inUse: () => ReadonlySet<RunId>
}

/** Says in the log that the folder of all runs can't be read. */
export const logUnreadable = ({ root }: RunFolders.RunFolders, { message }: StorageError) =>
  Effect.logWarning("the folder of runs can't be read").pipe(
    Effect.annotateLogs({ folder: root, problem: message })
  )

/** Runs that are not on the disk can be listed all the same; where there are none, the disk's error is the answer. */
const times = ({ folders, inUse }: Listed) =>
  Effect.catchAll(folders.folders, (error) =>
    inUse().size === 0
      ? Effect.fail(error)
      : Effect.as(logUnreadable(folders, error), [] as ReadonlyArray<string>)
  )

/** Newest first: the times that have a folder, and those of runs that have none because it can't be written. */
const timesBefore = (listed: Listed, before: Option.Option<RunId>) =>
  Effect.map(times(listed), (found) =>
    [...new Set([...found, ...Array.from(listed.inUse(), RunFolders.folderOf)])]
      .filter((time) =>
        Option.match(before, { onNone: () => true, onSome: (id) => time <= RunFolders.folderOf(id) })
      )
      .sort()
      .reverse()
  )

const idsOf = ({ folders, inUse }: Listed, time: string) =>
  Effect.map(folders.files(time), (files) => {
    const here = Array.from(inUse()).filter((id) => RunFolders.folderOf(id) === time)
    const stored = files.flatMap(({ id }) => (id === undefined ? [] : [id]))
    return [...new Set([...stored, ...here])].sort().reverse()
  })

/** Ids of runs, newest first, from before `before` on. */
export const ids = (listed: Listed, before: Option.Option<RunId>): Stream.Stream<RunId, StorageError> =>
  Stream.fromIterableEffect(timesBefore(listed, before)).pipe(
    Stream.mapConcatEffect((time) => idsOf(listed, time)),
    Stream.filter((id) => Option.match(before, { onNone: () => true, onSome: (limit) => id < limit }))
  )
