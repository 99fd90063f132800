/** The events of a journal as it is now; output is stepped over without being read. */
import type { FileSystem } from "@effect/platform"
import { Effect, Either, Option, Schema, Stream } from "effect"
import type { StorageError } from "../../RelayError.ts"
import {
  NodeEnded,
  NodeStarted,
  RunDone,
  type RunEvent,
  RunStarted,
  type UnreadableEvent
} from "../RunEvent.ts"
import { RunHead } from "../RunRecord.ts"
import { Kind, recordLength } from "./JournalRecord.ts"
import type { JournalSource } from "./JournalSource.ts"
import * as JournalWindow from "./JournalWindow.ts"

/** A record that is not output, as the JSON it holds. */
export interface StoredEvent {
  readonly kind: Kind
  /** Empty: it is about no node. */
  readonly node: string
  readonly json: string
}

/** The records themselves, the journal's own head and marks among them. */
export const stored = (
  source: JournalSource
): Stream.Stream<StoredEvent, StorageError, FileSystem.FileSystem> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const window = yield* JournalWindow.open(source)
      const length = source.length()
      let position = 0
      const next: Effect.Effect<StoredEvent, Option.Option<StorageError>> = Effect.gen(function* () {
        while (position < length) {
          const at = position
          if (window.header(at) === undefined) yield* Effect.mapError(window.load(at), Option.some)
          const header = window.header(at)
          if (header === undefined) break
          if (header.kind === Kind.stdout || header.kind === Kind.stderr) {
            position = at + recordLength(header)
            continue
          }
          if (window.record(at) === undefined) yield* Effect.mapError(window.load(at), Option.some)
          const record = window.record(at)
          if (record === undefined) break
          position = at + recordLength(header)
          return {
            kind: record.kind,
            node: record.node.toString("latin1"),
            json: record.payload.toString("utf8")
          }
        }
        return yield* Effect.fail(Option.none())
      })
      return Stream.repeatEffectOption(next)
    })
  )

/** What a journal says first: for which nodes the run is, and who asked for it. What can't be read there is left out. */
export interface Beginning {
  readonly nodes: ReadonlyArray<string>
  readonly by: RunHead["by"]
}

const decodeHead = Schema.decodeOption(Schema.parseJson(RunHead))
const decodeStarted = Schema.decodeOption(Schema.parseJson(RunStarted))

const nothingSaid: Beginning = { nodes: [], by: undefined }

/** Reads a journal's first two records. */
export const beginning = (
  source: JournalSource
): Effect.Effect<Beginning, StorageError, FileSystem.FileSystem> =>
  Stream.runFold(Stream.take(stored(source), 2), nothingSaid, (found, { kind, json }) => {
    if (kind === Kind.head) return { ...found, by: Option.getOrUndefined(decodeHead(json))?.by }
    if (kind === Kind.run) return { ...found, nodes: Option.getOrUndefined(decodeStarted(json))?.nodes ?? [] }
    return found
  })

const reading = <A extends RunEvent, I>(of: A["event"], schema: Schema.Schema<A, I>) => {
  const decode = Schema.decodeEither(Schema.parseJson(schema))
  return ({ node, json }: StoredEvent): RunEvent | UnreadableEvent =>
    Either.getOrElse(decode(json), () => ({ event: "unreadable", of, node }) as const)
}

const readings: ReadonlyMap<Kind, (stored: StoredEvent) => RunEvent | UnreadableEvent> = new Map([
  [Kind.run, reading("run", RunStarted)],
  [Kind.start, reading("start", NodeStarted)],
  [Kind.end, reading("end", NodeEnded)],
  [Kind.done, reading("done", RunDone)]
])

/** The run's events. One that can't be read is an event all the same: the run went on. */
export const events = (
  source: JournalSource
): Stream.Stream<RunEvent | UnreadableEvent, StorageError, FileSystem.FileSystem> =>
  Stream.map(stored(source), (event) => readings.get(event.kind)?.(event)).pipe(
    Stream.filter((event) => event !== undefined)
  )
