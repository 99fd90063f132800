/** Files for targets that are not below this relay: kept on disk until the policy server has them. */
import { Clock, Context, Duration, Effect, Fiber, Layer, Option, type Scope } from "effect"
import * as AtOnce from "../../AtOnce.ts"
import { RelayConfig } from "../../config/RelayConfig.ts"
import type * as ContentHash from "../../disk/ContentHash.ts"
import type { DiskError } from "../../disk/Disk.ts"
import * as FileLocks from "../../disk/FileLocks.ts"
import * as HashCheck from "../../disk/HashCheck.ts"
import type { Incoming } from "../../disk/Incoming.ts"
import * as StorageFailure from "../../disk/StorageFailure.ts"
import { root } from "../../NodeId.ts"
import {
  type StorageError,
  type StorageFull,
  type UpstreamFatal,
  UpstreamRejected
} from "../../RelayError.ts"
import * as RequestReport from "../../RequestReport.ts"
import * as Span from "../../Span.ts"
import type { SharedFileName } from "../file/FileId.ts"
import type * as Metadata from "../file/Metadata.ts"
import type { BadSignature } from "../file/SharedFileError.ts"
import * as Succession from "../file/Succession.ts"
import * as Attempt from "./Attempt.ts"
import * as ClosedOutbox from "./ClosedOutbox.ts"
import * as Deliveries from "./Deliveries.ts"
import * as EntryName from "./EntryName.ts"
import type { Notice } from "./Flights.ts"
import * as OldestEntry from "./OldestEntry.ts"
import { drop } from "./OutboxEnd.ts"
import type { OutboxPage } from "./OutboxEntry.ts"
import * as OutboxList from "./OutboxList.ts"
import type { OutboxParts } from "./OutboxParts.ts"
import * as OutboxRoom from "./OutboxRoom.ts"
import { OutboxStorage } from "./OutboxStorage.ts"
import * as Presence from "./Presence.ts"
import type { Amounts, Spool } from "./Spool.ts"
import { Upstream } from "./Upstream.ts"
import * as UpstreamGate from "./UpstreamGate.ts"

/** What a sender learns of a file that was accepted: the policy server has it, or it is on the disk here. */
export type Forwarded = "stored" | "queued"

/** How the outbox is. */
export interface OutboxStatus extends Amounts {
  /** Why the outbox can't be used, if it can't. */
  readonly problem: Option.Option<string>
  /** Why the policy server can't be reached, if it can't. */
  readonly upstream: Option.Option<string>
  /** When the policy server answered last: milliseconds since 1970. None: it has not since the start. */
  readonly answered: Option.Option<number>
  /** When the entry that waits longest was accepted: milliseconds since 1970. */
  readonly oldest: Option.Option<number>
}

/** What can be done with files that go to the policy server. */
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
  /** A file on its way in: gone with its scope, unless it was committed. */
  readonly begin: Effect.Effect<Incoming, StorageFull | StorageError, Scope.Scope>
  /**
   * Takes a file over: on the disk when this returns, and in the place of a version that waits. The effect that it
   * gives waits up to `shared_files.forward_wait` for what the policy server says, to whom it is sent at once. `BadSignature`
   * (stale): the scope of what waits does not allow it.
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
  /** How it is now. */
  readonly status: Effect.Effect<OutboxStatus>
}

/** The outbox; `layer` keeps it in the storage that is provided. */
export class Outbox extends Context.Tag("rudder-relay/Outbox")<Outbox, OutboxService>() {
  /**
   * Sends what is in the storage until its scope ends. The root server has none, and opens none. `FolderUnusable`: the
   * storage can't be had for this relay alone, read or written.
   */
  static readonly layer = Layer.scoped(
    Outbox,
    Effect.suspend(() => make)
  )
}

/** What `Outbox.layer` has. */
export const make = Effect.gen(function* () {
  const { general } = yield* RelayConfig
  if (general.nodeId === root) return ClosedOutbox.closed
  const parts = yield* makeParts
  yield* parts.deliveries.allDue
  yield* Effect.forkScoped(parts.deliveries.run)
  return working(parts)
})

const makeParts = Effect.gen(function* () {
  const { sharedFiles } = yield* RelayConfig
  const { retry, forwardWait } = sharedFiles
  const [scope, clock] = [yield* Effect.scope, yield* Effect.clock]
  const upstream = yield* Upstream
  const locks = FileLocks.make()
  const gate = UpstreamGate.make(retry)
  const { spool, makeRoom } = yield* OutboxRoom.open(yield* OutboxStorage, locks)
  const attempt = yield* Attempt.make(spool)
  const deliveries = Deliveries.make({ spool, gate, locks, retry, attempt, scope })
  const hashesTo = HashCheck.make()
  const parts: OutboxParts = {
    spool,
    makeRoom,
    locks,
    upstream,
    gate,
    deliveries,
    hashesTo,
    forwardWait,
    clock,
    scope
  }
  return parts
})

const working = (parts: OutboxParts): OutboxService => {
  const { spool, makeRoom, locks, gate } = parts
  const oldest = OldestEntry.make(spool)
  return {
    turn: (name) => locks.turn(EntryName.keyOf(name)),
    checkRefused: (name, hash) => Presence.checkRefused(parts, name, hash),
    checkRoom: (size) => OutboxRoom.check(spool, size),
    begin: spool.begin,
    commit: (name, turn, incoming, metadata) =>
      Span.begun(
        "Outbox.commit",
        () =>
          // Before the file's lock is held: what makes room for it may be an older version of it. What is not on the disk yet
          // is counted in the outbox already, and needs its room on the disk.
          AtOnce.flatMap(spool.missing(0), (bytes) => {
            const accepted = accept(parts, name, turn, incoming, metadata)
            return bytes > 0 ? Effect.zipRight(makeRoom(0), accepted) : accepted
          }).pipe(Effect.catchTag("DiskError", StorageFailure.failedToWrite)),
        () => ({ ...name })
      ),
    has: (name, hash) => Presence.has(parts, name, hash).pipe(Span.within("Outbox.has", () => ({ ...name }))),
    list: (limit, before) =>
      Effect.catchTag(OutboxList.list(parts, limit, before), "DiskError", StorageFailure.failed),
    retry: retryAll(parts).pipe(
      Effect.catchTag("DiskError", StorageFailure.failed),
      Effect.withSpan("Outbox.retry")
    ),
    remove: (id) =>
      remove(parts, id).pipe(
        Effect.catchTag("DiskError", StorageFailure.failed),
        Effect.withSpan("Outbox.remove")
      ),
    status: Effect.gen(function* () {
      const { problem: upstream, answered } = yield* gate.status
      const problem = yield* spool.problem
      // Where the entries can't be read, that is the problem, which is told by itself.
      const waits = yield* Effect.orElseSucceed(oldest, () => Option.none<number>())
      return { problem, upstream, answered, oldest: waits, ...spool.amounts() }
    })
  }
}

const queued: Effect.Effect<Forwarded> = Effect.succeed("queued")

/** Makes an entry, and has it sent; where a request that began later has been accepted meanwhile, that one's is. */
const accept = (
  parts: OutboxParts,
  name: SharedFileName,
  turn: FileLocks.Turn,
  incoming: Incoming,
  metadata: Metadata.Metadata
) => {
  const { spool, deliveries, clock } = parts
  const key = EntryName.keyOf(name)
  let forwarded: Effect.Effect<Forwarded, UpstreamRejected> = queued
  const make = (versions: ReadonlyArray<EntryName.EntryName>, kept: Metadata.Metadata) => {
    const accepted = clock.unsafeCurrentTimeMillis()
    const record = { name, began: turn.began, accepted, metadata: kept }
    const order = EntryName.nextOrder(accepted, versions[0]?.order)
    return Effect.matchEffect(spool.commit(incoming, record, { key, order }), {
      // A disk that fails may have left it in its place: then it is sent like all that is there.
      onFailure: (error) => {
        deliveries.dueNow(key)
        return Effect.fail(error)
      },
      onSuccess: (entry) =>
        AtOnce.flatMap(forward(parts, entry), (answer) => {
          forwarded = answer
          return versions.length === 0 ? Effect.void : Effect.ignoreLogged(replace(parts, versions))
        })
    })
  }
  const writing = Effect.suspend(() =>
    spool.mayHave(key)
      ? Effect.flatMap(spool.versions(key), (versions) =>
          Effect.flatMap(succeeding(spool, versions, metadata), (kept) => make(versions, kept))
        )
      : make([], metadata)
  )
  return AtOnce.map(turn.write(writing), () => forwarded)
}

/** What is kept of a file's metadata where these versions of it are there. */
const succeeding = (
  spool: Spool,
  versions: ReadonlyArray<EntryName.EntryName>,
  metadata: Metadata.Metadata
): Effect.Effect<Metadata.Metadata, BadSignature | DiskError> => {
  const newest = versions.find(({ state }) => state === "waiting")
  return newest === undefined
    ? Effect.succeed(metadata)
    : Effect.flatMap(spool.record(newest), (before) =>
        Option.isSome(before) ? Succession.succeed(before.value.metadata, metadata) : Effect.succeed(metadata)
      )
}

/** Removes versions that are older than one that was just accepted; one that is being sent finishes first. */
const replace = ({ spool, deliveries }: OutboxParts, older: ReadonlyArray<EntryName.EntryName>) =>
  Effect.gen(function* () {
    for (const entry of older) {
      if (deliveries.isSending(entry)) continue
      yield* drop(spool, entry, "replaced")
      yield* deliveries.ended(entry, { _tag: "Replaced" })
      yield* spool.syncReplaced(entry.key)
    }
  })

/**
 * Sends an entry at once, unless the policy server is known not to be reached, and gives what becomes of it when that comes in
 * time. Where nobody is to wait for that it is sent like all that is due.
 */
const forward = (
  parts: OutboxParts,
  entry: EntryName.EntryName
): Effect.Effect<Effect.Effect<Forwarded, UpstreamRejected>> => {
  const later = () => {
    parts.deliveries.dueNow(entry.key)
    return isQueued
  }
  return Duration.toMillis(parts.forwardWait) === 0
    ? later()
    : Effect.flatMap(parts.gate.status, ({ pause }) =>
        pause > 0 ? later() : Effect.map(sendAtOnce(parts, entry), Fiber.join)
      )
}

const isQueued = Effect.succeed(queued)

/** It belongs to the daemon: what the sender does not wait for is seen to all the same. */
const sendAtOnce = ({ deliveries, forwardWait, gate, scope }: OutboxParts, entry: EntryName.EntryName) =>
  Effect.gen(function* () {
    const notice = yield* deliveries.listen(entry)
    const tried = Effect.gen(function* () {
      if ((yield* gate.status).pause > 0) return Option.none()
      const started = Effect.andThen(deliveries.start(entry.key), Effect.never)
      return yield* Effect.timeoutOption(Effect.raceFirst(notice, started), forwardWait)
    })
    return yield* tried.pipe(
      Effect.ensuring(deliveries.unlisten(entry)),
      // Nobody else has been told of it yet.
      Effect.tap((ended) => Effect.sync(() => Option.isNone(ended) && deliveries.dueNow(entry.key))),
      Effect.flatMap(Option.match({ onNone: () => queued, onSome: answerOf })),
      Effect.interruptible,
      RequestReport.outside,
      Effect.forkIn(scope)
    )
  })

const answerOf = (notice: Notice): Effect.Effect<Forwarded, UpstreamRejected> => {
  if (notice._tag === "Refused")
    return Effect.fail(new UpstreamRejected({ message: notice.message, status: notice.status }))
  return notice._tag === "Delivered" || notice._tag === "Stored" ? Effect.succeed("stored") : queued
}

const retryAll = (parts: OutboxParts) =>
  Effect.gen(function* () {
    const { spool, gate, locks, deliveries } = parts
    let count = 0
    for (const shard of spool.shards())
      for (const { key } of yield* spool.shard(shard)) count += yield* locks.alone(key)(retryFile(parts, key))
    yield* gate.probeNow
    yield* deliveries.allDue
    return count
  })

/** Makes the versions of a file due now, but for one that is being sent. */
const retryFile = ({ spool, deliveries }: OutboxParts, key: string) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const versions = spool.recent(key, now) ?? (yield* spool.versions(key))
    for (const entry of versions) {
      if (deliveries.isSending(entry)) continue
      const durable = entry.state === "refused"
      if (durable || entry.time > now)
        yield* spool.change(entry, { state: "waiting", time: now }, { durable })
    }
    return versions.length
  })

const remove = ({ spool, locks, deliveries }: OutboxParts, text: string) =>
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
