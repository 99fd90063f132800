/** What callers see of a run: its events, and its stream in the format and the part that each asks for. */
import { FileSystem } from "@effect/platform"
import { Effect, Option, Stream } from "effect"
import type { StorageError } from "../RelayError.ts"
import type { MarkedRuns } from "./journal/EventMarks.ts"
import * as JournalEvents from "./journal/JournalEvents.ts"
import type { JournalSource } from "./journal/JournalSource.ts"
import * as RunReader from "./journal/RunReader.ts"
import type { RunEvent, UnreadableEvent } from "./RunEvent.ts"
import type { RunId } from "./RunId.ts"

/** How a caller wants to see a run. */
export type RunView = Omit<RunReader.ReadOptions, "single" | "marks">

/** A run, going on or past, as it can be read. */
export interface ReadableRun {
  /** Where its journal ends, once it is over: a client that has the event of this offset has all. */
  readonly doneAt: Effect.Effect<Option.Option<number>>
  /** Whether there is an event of ndjson and sse behind so many; a run that goes on is waited for. */
  readonly hasBehind: (from: number) => Effect.Effect<boolean, StorageError>
  /** Its events up to now, without output, in the order in which they happened. */
  readonly events: Stream.Stream<RunEvent | UnreadableEvent, StorageError>
  /** What a caller sees of it; it follows a run that goes on, at the caller's pace. */
  readonly read: (view: RunView) => Stream.Stream<Uint8Array, StorageError>
}

interface Parts {
  readonly fs: FileSystem.FileSystem
  readonly marked: MarkedRuns
}

/** @param single the run has one node */
export const of = ({ fs, marked }: Parts, id: RunId, source: JournalSource, single: boolean): ReadableRun => {
  const read = (view: RunView) => {
    const marks = view.from === undefined || view.from === 0 ? undefined : marked.of(id)
    return RunReader.stream(source, { ...view, order: orderOf(view, single), single, marks }).pipe(
      Stream.provideService(FileSystem.FileSystem, fs)
    )
  }
  return {
    doneAt: Effect.sync(() => (source.ended() ? Option.some(source.length()) : Option.none())),
    events: JournalEvents.events(source).pipe(Stream.provideService(FileSystem.FileSystem, fs)),
    hasBehind: (from) =>
      Effect.map(Stream.runHead(read({ format: "ndjson", order: "live", after: 0, from })), Option.isSome),
    read
  }
}

/** The block of a run's only node is shown as it comes, unless the node's end decides whether it is shown at all. */
const orderOf = ({ order, ended }: RunView, single: boolean): RunView["order"] =>
  ended !== undefined ? "blocks" : single ? "live" : order
