/** What the list shows of a run that is over, read from the two ends of its journal. */
import { FileSystem } from "@effect/platform"
import { Effect, Either, Schema, Stream } from "effect"
import { StorageError } from "../../RelayError.ts"
import { NodeOutcome, RunDone, verdict } from "../RunEvent.ts"
import { RunHead, type RunSummary } from "../RunRecord.ts"
import * as JournalEvents from "./JournalEvents.ts"
import { Kind } from "./JournalRecord.ts"
import type { JournalSource } from "./JournalSource.ts"

const decodeHead = Schema.decodeUnknown(Schema.parseJson(RunHead))
const decodeDone = Schema.decodeUnknownEither(Schema.parseJson(RunDone))
const decodeOutcome = Schema.decodeUnknownEither(Schema.parseJson(NodeOutcome))

/** The last record of a journal is `done`, and small. */
const doneLength = 512

const storageError = (cause: { readonly message: string }) => new StorageError({ message: cause.message })

type Tally = Pick<RunSummary, "ok" | "failed" | "interrupted">

const tallyOf = ({ ok, failed, interrupted }: RunDone): Tally => ({
  ok,
  failed,
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

/** The ends counted one by one: what they say is what `done` would say. */
const count = (source: JournalSource) =>
  Stream.runFold(JournalEvents.stored(source), { ok: 0, failed: 0 }, (sum, { kind, json }) => {
    if (kind !== Kind.end) return sum
    const outcome = Either.match(decodeOutcome(json), { onLeft: () => "failed" as const, onRight: verdict })
    return outcome === "unreported" ? sum : { ...sum, [outcome]: sum[outcome] + 1 }
  })

/** The summary of a run that is over. `StorageError`: its journal can't be read, or has no head. */
export const read = (source: JournalSource): Effect.Effect<RunSummary, StorageError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const first = yield* Stream.runHead(JournalEvents.stored(source))
    const head = yield* Effect.flatMap(first, ({ json }) => decodeHead(json)).pipe(
      Effect.mapError(storageError)
    )
    const done = decodeDone(yield* lastRecord(source))
    const tally = Either.isRight(done) ? tallyOf(done.right) : yield* count(source)
    return { ...head, running: 0, ...tally }
  })
