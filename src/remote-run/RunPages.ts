/** The list of runs, page by page: those that go on, and those of the history. */
import { Chunk, Effect, Option, Stream } from "effect"
import type { StorageError } from "../RelayError.ts"
import type { RunHistoryService } from "./journal/RunHistory.ts"
import * as RunListing from "./journal/RunListing.ts"
import type { RunNotFound } from "./RemoteRunError.ts"
import type { RunId } from "./RunId.ts"
import type { RunPage, RunSummary } from "./RunRecord.ts"

/** What a list is made of. */
export interface RunPagesParts {
  readonly history: RunHistoryService
  /** What is to be shown of a run that goes on, or of which only the journal knows. */
  readonly summaryOf: (id: RunId) => Effect.Effect<RunSummary, RunNotFound | StorageError>
  readonly isGoingOn: (id: RunId) => boolean
}

/** None: it can't be read, which is in the log, or it went meanwhile. */
const shown = ({ summaryOf, isGoingOn }: RunPagesParts, { id, summary }: RunListing.ListedRun) =>
  Option.match(isGoingOn(id) ? Option.none() : summary, {
    onSome: (known) => Effect.succeedSome(known),
    onNone: () =>
      summaryOf(id).pipe(
        Effect.tapErrorTag("StorageError", (error) => RunListing.logUnreadableRun(id, error)),
        Effect.option
      )
  })

/**
 * The newest of those that are selected, `limit` at most. One more is looked at: where there is none that can be shown,
 * this is the last page.
 */
export const first = (
  parts: RunPagesParts,
  limit: number,
  selection: RunListing.RunSelection
): Effect.Effect<RunPage, StorageError> =>
  parts.history.list(selection).pipe(
    Stream.mapEffect((run) => shown(parts, run)),
    Stream.filterMap((run) => run),
    Stream.take(limit + 1),
    Stream.runCollect,
    Effect.map((found) => {
      const runs = Chunk.toReadonlyArray(found).slice(0, limit)
      return { runs, next: found.length > limit ? (runs.at(-1)?.id ?? null) : null }
    })
  )
