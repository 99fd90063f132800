/** What the list shows of a run that is over, read from the two ends of its journal. */
import { FileSystem } from "@effect/platform"
import { Effect, Either, Schema, Stream } from "effect"
import { storageError } from "../../disk/StorageFailure.ts"
import type { StorageError } from "../../RelayError.ts"
import { type Counts, counted, RunDone, verdictOf } from "../RunEvent.ts"
import { RunHead, type RunSummary, type RunTally, summaryOf } from "../RunRecord.ts"
import * as JournalEvents from "./JournalEvents.ts"
import { Kind } from "./JournalRecord.ts"
import type { JournalSource } from "./JournalSource.ts"
import * as JournalWindow from "./JournalWindow.ts"

const decodeHead = Schema.decodeUnknown(Schema.parseJson(RunHead))
const decodeDone = Schema.decodeUnknownEither(Schema.parseJson(RunDone))

/** The last record of a journal is `done`, and small. */
const doneLength = 512

type Tally = Omit<RunTally, "running">

const tallyOf = ({ ok, failed, skipped, interrupted }: RunDone): Tally => ({
  ok,
  failed,
  ...(skipped === undefined ? {} : { skipped }),
  ...(interrupted === true ? { interrupted } : {})
})

/** `done`, where it is at the end of a file. */
const lastRecord = (source: JournalSource) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const length = Math.min(source.length(), doneLength)
    const [path] = source.partAt(source.length() - 1).paths.slice(-1)
    if (path === undefined || source.unwritten(source.length() - 1) !== undefined) return ""
    const file = yield* fs.open(path, { flag: "r" })
    yield* file.seek(source.length() - length, "start")
    const tail = Buffer.alloc(length)
    yield* file.read(tail)
    const at = tail.lastIndexOf('{"event":"done"')
    return at === -1 ? "" : tail.toString("utf8", at)
  }).pipe(Effect.scoped, Effect.mapError(storageError))

const noEnds: Counts = { ok: 0, failed: 0 }

/** The ends counted one by one: what they say is what `done` would say. */
const count = (source: JournalSource) =>
  Stream.runFold(JournalEvents.stored(source), noEnds, (sum, { kind, json }) => {
    return kind === Kind.end ? counted(sum, verdictOf(json)) : sum
  })

/** The summary of a run that is over. `StorageError`: its journal can't be read, or has no head. */
export const read = (source: JournalSource): Effect.Effect<RunSummary, StorageError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const first = yield* Stream.runHead(JournalEvents.stored(source))
    const head = yield* Effect.flatMap(first, ({ json }) => decodeHead(json)).pipe(
      Effect.mapError(() => JournalWindow.damaged(source, 0, "it does not begin with what a run is"))
    )
    const done = decodeDone(yield* lastRecord(source))
    const tally = Either.isRight(done) ? tallyOf(done.right) : yield* count(source)
    return summaryOf(head, { running: 0, ...tally })
  })
