/** Whether a file is with the policy server, or on its way there. */
import { Clock, Effect, Option } from "effect"
import type * as ContentHash from "../../disk/ContentHash.ts"
import { type DiskError, isAbsent, isNotOfItsKind } from "../../disk/Disk.ts"
import * as StorageFailure from "../../disk/StorageFailure.ts"
import { type StorageError, UpstreamFatal, UpstreamRejected } from "../../RelayError.ts"
import { fieldsOf, type SharedFileName } from "../file/FileId.ts"
import * as EntryName from "./EntryName.ts"
import * as EntryRecord from "./EntryRecord.ts"
import type { OutboxParts } from "./OutboxParts.ts"

type Parts = Pick<OutboxParts, "spool" | "locks" | "hashesTo" | "upstream" | "gate">

/** Whether this content waits; where nothing of this name does, whether the policy server has it. */
export const has = (
  parts: Parts,
  name: SharedFileName,
  hash: ContentHash.ContentHash
): Effect.Effect<boolean, UpstreamFatal | UpstreamRejected | StorageError> =>
  Effect.gen(function* () {
    const waiting = yield* isWaiting(parts, name, hash)
    if (Option.isSome(waiting)) return waiting.value
    yield* checkRefused(parts, name, hash)
    return yield* ask(parts, name, hash)
  })

/** `UpstreamRejected` where the policy server refused this content, and that is not forgotten yet. Looks when it is called. */
export const checkRefused = (
  parts: Parts,
  name: SharedFileName,
  hash: ContentHash.ContentHash
): Effect.Effect<void, UpstreamRejected | StorageError> => {
  const key = EntryName.keyOf(name)
  if (!parts.spool.mayHave(key)) return Effect.void
  return Effect.flatMap(
    refusalOf(parts, key, hash),
    Option.match({ onNone: () => Effect.void, onSome: (refusal) => refusal })
  )
}

/** Whether the version that waits has this content; none where none waits. */
const isWaiting = (parts: Parts, name: SharedFileName, hash: ContentHash.ContentHash) => {
  const { spool, locks } = parts
  const key = EntryName.keyOf(name)
  return Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    for (const entry of yield* spool.versions(key)) {
      const record = entry.state === "waiting" ? yield* spool.record(entry) : Option.none()
      if (Option.isNone(record) || Option.isNone(EntryRecord.remainingTtl(record.value.metadata, now)))
        continue
      return Option.some(yield* matches(parts, entry, record.value, hash))
    }
    return Option.none()
  }).pipe(locks.alone(key), Effect.catchTag("DiskError", StorageFailure.failed))
}

/** Why the policy server refused this content, if it did. */
const refusalOf = (
  parts: Parts,
  key: string,
  hash: ContentHash.ContentHash
): Effect.Effect<Option.Option<UpstreamRejected>, StorageError> => {
  const { spool, locks } = parts
  return Effect.flatMap(spool.versions(key), (versions) =>
    versions.length === 0 ? notRefused : refusalAmong(parts, versions, hash)
  ).pipe(locks.alone(key), Effect.catchTag("DiskError", StorageFailure.failed))
}

const notRefused = Effect.succeed(Option.none<UpstreamRejected>())

const refusalAmong = (
  parts: Parts,
  versions: ReadonlyArray<EntryName.EntryName>,
  hash: ContentHash.ContentHash
) =>
  Effect.gen(function* () {
    const { spool } = parts
    const now = yield* Clock.currentTimeMillis
    for (const entry of versions) {
      if (entry.state !== "refused" || entry.time <= now) continue
      const record = yield* spool.record(entry)
      if (Option.isNone(record) || !(yield* matches(parts, entry, record.value, hash))) continue
      return Option.map(
        yield* spool.attempts(entry),
        ({ error, status }) =>
          new UpstreamRejected({ message: error, status: Option.getOrElse(status, () => 403) })
      )
    }
    return Option.none()
  })

/**
 * Whether an entry's content has this hash; of another algorithm than its own, the content is read. One that is not what was
 * written, or was removed by somebody else, has none: what comes in its place is welcome.
 */
const matches = (
  { spool, hashesTo }: Parts,
  entry: EntryName.EntryName,
  { metadata }: EntryRecord.EntryRecord,
  asked: ContentHash.ContentHash
): Effect.Effect<boolean, DiskError> =>
  metadata.hash.algorithm === asked.algorithm
    ? Effect.succeed(metadata.hash.hex === asked.hex)
    : Effect.catchIf(
        hashesTo(spool.content(entry), [asked]),
        (error) => isNotOfItsKind(error) || isAbsent(error),
        () => Effect.succeed(false)
      )

/** Asks the policy server; that it answers, or does not, is worth knowing for what waits too. */
const ask = ({ upstream, gate }: Parts, name: SharedFileName, hash: ContentHash.ContentHash) =>
  upstream.has(name, hash).pipe(
    Effect.tap(() => gate.answered),
    Effect.tapErrorTag("UpstreamFatal", ({ message }) =>
      Effect.logWarning("the policy server can't say whether it has a file").pipe(
        Effect.annotateLogs({ ...fieldsOf(name), error: message })
      )
    ),
    Effect.catchTag("UpstreamUnreachable", ({ message }) =>
      Effect.zipRight(gate.unanswered(message), Effect.fail(new UpstreamFatal({ message })))
    )
  )
