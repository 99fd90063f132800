/** Files for targets that are not below this relay: kept on disk until the policy server has them. */
import { Clock, Context, type Duration, Effect, Fiber, Layer, Option, type Scope } from "effect"
import { RelayConfig } from "../../config/RelayConfig.ts"
import type * as ContentHash from "../../disk/ContentHash.ts"
import { Disk, type DiskError } from "../../disk/Disk.ts"
import * as FileLocks from "../../disk/FileLocks.ts"
import * as Folders from "../../disk/Folders.ts"
import * as FolderUnusable from "../../disk/FolderUnusable.ts"
import * as HashCheck from "../../disk/HashCheck.ts"
import type { Incoming } from "../../disk/Incoming.ts"
import * as Lease from "../../disk/Lease.ts"
import * as StorageFailure from "../../disk/StorageFailure.ts"
import { root } from "../../NodeId.ts"
import { StorageError, StorageFull, UpstreamFatal, UpstreamRejected } from "../../RelayError.ts"
import type { SharedFileName } from "../file/FileId.ts"
import type * as Metadata from "../file/Metadata.ts"
import type { BadSignature } from "../file/SharedFileError.ts"
import * as Succession from "../file/Succession.ts"
import * as Attempt from "./Attempt.ts"
import * as Deliveries from "./Deliveries.ts"
import * as EntryName from "./EntryName.ts"
import * as EntryRecord from "./EntryRecord.ts"
import * as EntryWalk from "./EntryWalk.ts"
import { drop } from "./OutboxEnd.ts"
import type { OutboxEntry, OutboxPage } from "./OutboxEntry.ts"
import * as Spool from "./Spool.ts"
import { Upstream } from "./Upstream.ts"
import * as UpstreamGate from "./UpstreamGate.ts"

/** What a sender learns of a file that was accepted: the policy server has it, or it is on the disk here. */
export type Forwarded = "stored" | "queued"

export interface OutboxStatus {
  /** Why the outbox can't be used, if it can't. */
  readonly problem: Option.Option<string>
  /** Why the policy server can't be reached, if it can't. */
  readonly upstream: Option.Option<string>
  readonly waiting: Spool.Amount
  readonly refused: Spool.Amount
}

export interface OutboxService {
  /** A request to send this file begins, and ends with the scope: of several, the one that began last wins. */
  readonly turn: (name: SharedFileName) => Effect.Effect<FileLocks.Turn, never, Scope.Scope>
  /** `UpstreamRejected` when the policy server refused this content a short time ago. */
  readonly checkRefused: (
    name: SharedFileName,
    hash: ContentHash.ContentHash
  ) => Effect.Effect<void, UpstreamRejected | StorageError>
  /** `StorageFull` where there is no room for `size` more bytes, even without what was refused. Removes nothing of it. */
  readonly checkRoom: (size: number) => Effect.Effect<void, StorageFull | StorageError>
  readonly begin: Effect.Effect<Incoming, StorageFull | StorageError, Scope.Scope>
  /**
   * Takes a file over: on the disk when this returns, and in the place of a version that waits. The effect that it
   * gives sends it at once, and waits for the outcome up to `shared_files.forward_wait`. `BadSignature` (stale): the
   * scope of what waits does not allow it.
   */
  readonly commit: (
    name: SharedFileName,
    turn: FileLocks.Turn,
    incoming: Incoming,
    metadata: Metadata.Metadata
  ) => Effect.Effect<Effect.Effect<Forwarded, UpstreamRejected>, BadSignature | StorageFull | StorageError>
  /** Whether this content waits; where nothing of this name does, whether the policy server has it. */
  readonly has: (
    name: SharedFileName,
    hash: ContentHash.ContentHash
  ) => Effect.Effect<boolean, UpstreamFatal | UpstreamRejected | StorageError>
  /** Newest first, from before the entry of this id on. */
  readonly list: (limit: number, before: Option.Option<string>) => Effect.Effect<OutboxPage, StorageError>
  /** Tries all now, what was refused too. Gives how many there are. */
  readonly retry: Effect.Effect<number, StorageError>
  /** Removes an entry, also while it is being sent; false: there is none of this id. */
  readonly remove: (id: string) => Effect.Effect<boolean, StorageError>
  readonly status: Effect.Effect<OutboxStatus>
}

export class Outbox extends Context.Tag("rudder-relay/Outbox")<Outbox, OutboxService>() {
  /**
   * On the disk of the configuration; sends until its scope ends. The root server has none. `FolderUnusable`: its
   * folder can't be made, written, read, or had for this relay alone.
   */
  static readonly layer = Layer.scoped(
    Outbox,
    Effect.suspend(() => make)
  )
}

/** So many refused entries are looked for at once when room is short. */
const evictedAtOnce = 100

const make = Effect.gen(function* () {
  const { general, sharedFiles } = yield* RelayConfig
  if (general.nodeId === root) return none
  const folders = Spool.foldersAt(yield* Disk, sharedFiles.outbox)
  yield* Lease.hold(folders, general.shutdownGrace)
  return yield* Effect.catchTag(working(folders), "DiskError", ({ message }) =>
    FolderUnusable.because(folders.root, message)
  )
})

/** What the outbox is made of. */
interface Parts {
  readonly spool: Spool.Spool
  readonly gate: UpstreamGate.UpstreamGate
  readonly locks: FileLocks.FileLocks
  readonly deliveries: Deliveries.Deliveries
  readonly forwardWait: Duration.Duration
  /** Of the daemon. */
  readonly scope: Scope.Scope
}

const working = Effect.fnUntraced(function* (folders: Folders.Folders) {
  const { sharedFiles } = yield* RelayConfig
  const upstream = yield* Upstream
  const attempt = yield* Attempt.make
  const scope = yield* Effect.scope
  const { retry } = sharedFiles
  const locks = FileLocks.make()
  const gate = UpstreamGate.make(retry)
  const evicting = Effect.unsafeMakeSemaphore(1)
  const makeRoom = (size: number): Effect.Effect<void, StorageFull | StorageError> =>
    evicting.withPermits(1)(Effect.suspend(() => evict(spool, locks, size)))
  const disk = yield* Disk
  const spool: Spool.Spool = yield* Spool.open(
    disk,
    folders,
    { maxSize: sharedFiles.outboxMaxSize, minFree: sharedFiles.minFree },
    makeRoom
  )
  const deliveries = Deliveries.make({ spool, gate, locks, retry, attempt, scope })
  const parts: Parts = { spool, gate, locks, deliveries, forwardWait: sharedFiles.forwardWait, scope }
  yield* deliveries.allDue
  yield* Effect.forkScoped(deliveries.run)
  const matches = matching(spool)
  const refusal = refusalOf(parts, matches)
  const checkRefused: OutboxService["checkRefused"] = (name, hash) =>
    Effect.flatMap(refusal(name, hash), Option.match({ onNone: () => Effect.void, onSome: Effect.fail }))
  return Outbox.of({
    turn: (name) => locks.turn(EntryName.keyOf(name)),
    checkRefused,
    checkRoom: (size) =>
      Effect.catchTag(Effect.asVoid(missingOf(spool, size)), "DiskError", StorageFailure.failed),
    begin: spool.begin,
    commit: (name, turn, incoming, metadata) =>
      // Before the file's lock is held: what makes room for it may be an older version of it.
      Effect.andThen(makeRoom(0), accept(parts, name, turn, incoming, metadata)).pipe(
        Effect.catchTag("DiskError", StorageFailure.failedToWrite),
        Effect.withSpan("Outbox.commit", { attributes: { ...name } })
      ),
    has: (name, hash) =>
      Effect.gen(function* () {
        const waiting = yield* waits(parts, matches, name, hash)
        if (Option.isSome(waiting)) return waiting.value
        yield* checkRefused(name, hash)
        return yield* ask(upstream, gate, name, hash)
      }).pipe(Effect.withSpan("Outbox.has", { attributes: { ...name } })),
    list: (limit, before) => Effect.catchTag(list(parts, limit, before), "DiskError", StorageFailure.failed),
    retry: retryAll(parts).pipe(
      Effect.catchTag("DiskError", StorageFailure.failed),
      Effect.withSpan("Outbox.retry")
    ),
    remove: (id) =>
      remove(parts, id).pipe(
        Effect.catchTag("DiskError", StorageFailure.failed),
        Effect.withSpan("Outbox.remove")
      ),
    status: Effect.zipWith(gate.status, Folders.problem(disk, folders), ({ problem: upstream }, problem) => ({
      problem,
      upstream,
      ...spool.amounts()
    }))
  })
})

/** Bytes that are missing for so many more. `StorageFull`: even without all that was refused there is no room. */
const missingOf = (spool: Spool.Spool, size: number): Effect.Effect<number, StorageFull | DiskError> =>
  Effect.flatMap(spool.missing(size), (missing) =>
    missing > spool.amounts().refused.bytes ? noRoom : Effect.succeed(missing)
  )

const noRoom = Effect.suspend(
  () =>
    new StorageFull({
      message: "no room in the outbox (shared_files.outbox_max_size, shared_files.min_free)"
    })
)

/** Removes what was refused, oldest first, until there is room for so many more bytes; nothing where that can't help. */
const evict = (
  spool: Spool.Spool,
  locks: FileLocks.FileLocks,
  size: number
): Effect.Effect<void, StorageFull | StorageError> =>
  Effect.gen(function* () {
    while ((yield* missingOf(spool, size)) > 0) {
      const refused = yield* EntryWalk.first(spool, evictedAtOnce, {
        wanted: ({ state }) => state === "refused",
        order: (one, other) => EntryName.byAge(other, one)
      })
      if (refused.length === 0) return yield* noRoom
      for (const entry of refused) {
        if ((yield* spool.missing(size)) <= 0) return
        yield* locks.alone(entry.key)(
          Effect.gen(function* () {
            const found = (yield* spool.versions(entry.key)).find(({ order }) => order === entry.order)
            if (found?.state === "refused") yield* drop(spool, found, "evicted")
          })
        )
      }
    }
  }).pipe(Effect.catchTag("DiskError", StorageFailure.failed))

const queued: Effect.Effect<Forwarded> = Effect.succeed("queued")

/** Makes an entry, and has it sent; where a request that began later has been accepted meanwhile, that one's is. */
const accept = (
  parts: Parts,
  name: SharedFileName,
  turn: FileLocks.Turn,
  incoming: Incoming,
  metadata: Metadata.Metadata
) =>
  Effect.gen(function* () {
    const { spool } = parts
    const key = EntryName.keyOf(name)
    let forwarded: Effect.Effect<Forwarded, UpstreamRejected> = queued
    yield* turn.write(
      Effect.gen(function* () {
        const versions = yield* spool.versions(key)
        const newest = versions.find(({ state }) => state === "waiting")
        const before = newest === undefined ? Option.none() : yield* spool.record(newest)
        const kept = Option.isSome(before)
          ? yield* Succession.succeed(before.value.metadata, metadata)
          : metadata
        const now = yield* Clock.currentTimeMillis
        const latest = Option.map(Option.fromNullable(versions[0]), ({ order }) => order)
        const order = EntryName.nextOrder(now, latest)
        const entry = yield* spool.commit(
          incoming,
          { name, began: turn.began, accepted: now, metadata: kept },
          { key, order }
        )
        forwarded = Fiber.join(yield* forward(parts, entry))
        yield* Effect.ignoreLogged(replace(parts, versions))
      }).pipe(Effect.uninterruptible)
    )
    return forwarded
  })

/** Removes versions that are older than one that was just accepted; one that is being sent finishes first. */
const replace = ({ spool, deliveries }: Parts, older: ReadonlyArray<EntryName.EntryName>) =>
  Effect.gen(function* () {
    for (const entry of older) {
      if (deliveries.isSending(entry)) continue
      yield* drop(spool, entry, "replaced")
      yield* deliveries.ended(entry, { _tag: "Replaced" })
      yield* spool.settle(entry.key)
    }
  })

/**
 * Sends an entry at once, unless the policy server is known not to be reached, and gives the outcome when that comes in
 * time. It belongs to the daemon: what the sender does not wait for is seen to all the same.
 */
const forward = ({ gate, deliveries, forwardWait, scope }: Parts, entry: EntryName.EntryName) =>
  Effect.gen(function* () {
    const outcome = yield* deliveries.listen(entry)
    const tried = Effect.gen(function* () {
      if ((yield* gate.status).pause > 0) return Option.none()
      const started = Effect.andThen(deliveries.start(entry.key), Effect.never)
      return yield* Effect.timeoutOption(Effect.raceFirst(outcome, started), forwardWait)
    })
    return yield* tried.pipe(
      Effect.ensuring(deliveries.unlisten(entry)),
      // Nobody else has been told of it yet.
      Effect.tap((ended) => (Option.isNone(ended) ? deliveries.due(entry.key, 0) : Effect.void)),
      Effect.flatMap(Option.match({ onNone: () => queued, onSome: answerOf })),
      Effect.interruptible,
      Effect.forkIn(scope)
    )
  })

const answerOf = (outcome: Deliveries.Outcome): Effect.Effect<Forwarded, UpstreamRejected> => {
  if (outcome._tag === "Refused")
    return Effect.fail(new UpstreamRejected({ message: outcome.message, status: outcome.status }))
  return outcome._tag === "Delivered" || outcome._tag === "Stored" ? Effect.succeed("stored") : queued
}

/** Whether an entry's content has this hash. */
const matching = (spool: Spool.Spool) => {
  const hashesTo = HashCheck.make()
  return (
    entry: EntryName.EntryName,
    { metadata }: EntryRecord.EntryRecord,
    asked: ContentHash.ContentHash
  ) =>
    metadata.hash.algorithm === asked.algorithm
      ? Effect.succeed(metadata.hash.hex === asked.hex)
      : hashesTo(spool.content(entry), [asked])
}
type Matching = ReturnType<typeof matching>

/** Why the policy server refused this content, if it did. */
const refusalOf =
  ({ spool, locks }: Parts, matches: Matching) =>
  (
    name: SharedFileName,
    hash: ContentHash.ContentHash
  ): Effect.Effect<Option.Option<UpstreamRejected>, StorageError> => {
    const key = EntryName.keyOf(name)
    return Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      for (const entry of yield* spool.versions(key)) {
        if (entry.state !== "refused" || entry.time <= now) continue
        const record = yield* spool.record(entry)
        if (Option.isNone(record) || !(yield* matches(entry, record.value, hash))) continue
        const attempts = yield* spool.attempts(entry)
        return Option.map(
          attempts,
          ({ error, status }) =>
            new UpstreamRejected({ message: error, status: Option.getOrElse(status, () => 403) })
        )
      }
      return Option.none()
    }).pipe(locks.alone(key), Effect.catchTag("DiskError", StorageFailure.failed))
  }

/** Whether the version that waits has this content; none where none waits. */
const waits = (
  { spool, locks }: Parts,
  matches: Matching,
  name: SharedFileName,
  hash: ContentHash.ContentHash
) => {
  const key = EntryName.keyOf(name)
  return Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    for (const entry of yield* spool.versions(key)) {
      const record = entry.state === "waiting" ? yield* spool.record(entry) : Option.none()
      if (Option.isNone(record) || Option.isNone(EntryRecord.remainingTtl(record.value.metadata, now)))
        continue
      return Option.some(yield* matches(entry, record.value, hash))
    }
    return Option.none()
  }).pipe(locks.alone(key), Effect.catchTag("DiskError", StorageFailure.failed))
}

const ask = (
  upstream: Upstream["Type"],
  gate: UpstreamGate.UpstreamGate,
  name: SharedFileName,
  hash: ContentHash.ContentHash
) =>
  upstream.has(name, hash).pipe(
    Effect.tap(() => gate.answered),
    Effect.tapErrorTag("UpstreamFatal", ({ message }) =>
      Effect.logWarning("the policy server can't say whether it has a file").pipe(
        Effect.annotateLogs({ ...name, error: message })
      )
    ),
    Effect.catchTag("UpstreamUnreachable", ({ message }) =>
      Effect.zipRight(gate.unanswered(message), Effect.fail(new UpstreamFatal({ message })))
    )
  )

const iso = (millis: number): string => new Date(millis).toISOString()

/** An entry as it is shown; none where it is gone meanwhile. */
const describe = ({ spool, gate, locks, deliveries }: Parts, { key, order }: EntryName.EntryName) =>
  Effect.gen(function* () {
    const entry = (yield* spool.versions(key)).find((version) => version.order === order)
    const record = entry === undefined ? Option.none() : yield* spool.record(entry)
    if (entry === undefined || Option.isNone(record)) return []
    const attempts = Option.getOrUndefined(yield* spool.attempts(entry))
    const now = yield* Clock.currentTimeMillis
    const { pause } = yield* gate.status
    const { name, accepted } = record.value
    const state = deliveries.isSending(entry) ? ("sending" as const) : entry.state
    const shown: OutboxEntry = {
      id: EntryName.idOf(entry),
      target: name.target,
      source: name.source,
      file_id: name.fileId,
      state,
      accepted: iso(accepted),
      age: Math.max(0, Math.round((now - accepted) / 1000)),
      size: entry.size,
      attempts: attempts?.count ?? 0,
      last_error: attempts?.error ?? null,
      next_try: state === "waiting" ? iso(Math.max(entry.time, now + Math.ceil(pause))) : null
    }
    return [shown]
  }).pipe(locks.alone(key))

const list = (parts: Parts, limit: number, before: Option.Option<string>) =>
  Effect.gen(function* () {
    const found = yield* EntryWalk.first(parts.spool, limit + 1, {
      wanted: (entry) =>
        Option.match(before, { onNone: () => true, onSome: (id) => EntryName.idOf(entry) < id }),
      order: EntryName.byAge
    })
    const shown = found.slice(0, limit)
    const last = shown.at(-1)
    return {
      entries: (yield* Effect.forEach(shown, (entry) => describe(parts, entry))).flat(),
      next: found.length > limit && last !== undefined ? EntryName.idOf(last) : null
    }
  })

const retryAll = ({ spool, gate, locks, deliveries }: Parts) =>
  Effect.gen(function* () {
    let count = 0
    for (const shard of spool.shards())
      for (const { key } of yield* spool.shard(shard))
        count += yield* locks.alone(key)(retryFile(spool, deliveries, key))
    yield* gate.probeNow
    yield* deliveries.allDue
    return count
  })

/** Makes the versions of a file due now, but for one that is being sent. */
const retryFile = (spool: Spool.Spool, deliveries: Deliveries.Deliveries, key: string) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const versions = yield* spool.versions(key)
    for (const entry of versions) {
      if (deliveries.isSending(entry)) continue
      const durable = entry.state === "refused"
      if (durable || entry.time > now)
        yield* spool.change(entry, { state: "waiting", time: now }, { durable })
    }
    return versions.length
  })

const remove = ({ spool, locks, deliveries }: Parts, text: string) =>
  Effect.gen(function* () {
    const id = EntryName.parseId(text)
    if (Option.isNone(id)) return false
    const { key, order } = id.value
    return yield* Effect.gen(function* () {
      const entry = (yield* spool.versions(key)).find((version) => version.order === order)
      if (entry === undefined) return false
      yield* drop(spool, entry, "deleted")
      yield* deliveries.ended(entry, { _tag: "Deleted" })
      yield* spool.sync(key)
      return true
    }).pipe(locks.alone(key))
  })

const refuse = new StorageError({ message: "there is no outbox on the root server" })

/** The root server's, which forwards nothing. */
const none: OutboxService = {
  turn: () => Effect.succeed({ began: 0, write: (effect) => effect }),
  checkRefused: () => refuse,
  checkRoom: () => refuse,
  begin: refuse,
  commit: () => refuse,
  has: () => refuse,
  list: () => Effect.succeed({ entries: [], next: null }),
  retry: Effect.succeed(0),
  remove: () => Effect.succeed(false),
  status: Effect.succeed({
    problem: Option.none(),
    upstream: Option.none(),
    waiting: { entries: 0, bytes: 0 },
    refused: { entries: 0, bytes: 0 }
  })
}
