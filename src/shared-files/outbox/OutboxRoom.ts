/** The room of the outbox. What was refused makes way for what comes; what waits does not. */
import { Effect } from "effect"
import * as AtOnce from "../../AtOnce.ts"
import type { DiskError } from "../../disk/Disk.ts"
import type { FileLocks } from "../../disk/FileLocks.ts"
import * as StorageFailure from "../../disk/StorageFailure.ts"
import * as Permits from "../../Permits.ts"
import { type StorageError, StorageFull } from "../../RelayError.ts"
import * as EntryName from "./EntryName.ts"
import * as EntryWalk from "./EntryWalk.ts"
import { drop } from "./OutboxEnd.ts"
import type { MakeRoom, OutboxStorageService } from "./OutboxStorage.ts"
import type { Spool } from "./Spool.ts"

/** So many refused entries are looked for at once when room is short. */
const evictedAtOnce = 100

/** Opens an outbox's storage, which finds its room here while contents come; one at a time makes room. */
export const open = (storage: OutboxStorageService, locks: FileLocks) =>
  Effect.gen(function* () {
    const evicting = Permits.make(1)
    const makeRoom: MakeRoom = (size) => evicting(Effect.suspend(() => evict(spool, locks, size)))
    const spool: Spool = yield* storage.open(makeRoom)
    return { spool, makeRoom }
  })

/** Looks whether there is room for so many more bytes, or would be without what was refused. Removes nothing. */
export const check = (spool: Spool, size: number): Effect.Effect<void, StorageFull | StorageError> =>
  AtOnce.matchEffect(spool.missing(size), {
    onFailure: StorageFailure.failed,
    onSuccess: (bytes): Effect.Effect<void, StorageFull> => (canHave(spool, bytes) ? Effect.void : noRoom)
  })

/** Bytes that are missing for so many more. `StorageFull`: even without all that was refused there is no room. */
const missing = (spool: Spool, size: number): Effect.Effect<number, StorageFull | DiskError> =>
  Effect.flatMap(spool.missing(size), (bytes) => (canHave(spool, bytes) ? Effect.succeed(bytes) : noRoom))

/** What was refused is as much as is missing. */
const canHave = (spool: Spool, bytes: number): boolean => bytes <= spool.amounts().refused.bytes

const noRoom = Effect.suspend(
  () =>
    new StorageFull({
      message: "no room in the outbox (shared_files.outbox_max_size, shared_files.min_free)"
    })
)

/** Removes what was refused, oldest first, until there is room for so many more bytes; nothing where that can't help. */
const evict = (
  spool: Spool,
  locks: FileLocks,
  size: number
): Effect.Effect<void, StorageFull | StorageError> =>
  Effect.gen(function* () {
    while ((yield* missing(spool, size)) > 0) {
      const refused = yield* EntryWalk.first(spool, evictedAtOnce, {
        wanted: ({ state }) => state === "refused",
        order: (one, other) => EntryName.byAge(other, one)
      })
      if (refused.length === 0) return yield* noRoom
      for (const entry of refused) {
        if ((yield* spool.missing(size)) <= 0) return
        yield* locks.alone(entry.key)(evictOne(spool, entry))
      }
    }
  }).pipe(Effect.catchTag("DiskError", StorageFailure.failed))

/** Removes an entry, unless it is gone by now, or to be sent again. */
const evictOne = (spool: Spool, { key, order }: EntryName.EntryName) =>
  Effect.gen(function* () {
    const found = (yield* spool.versions(key)).find((version) => version.order === order)
    if (found?.state === "refused") yield* drop(spool, found, "evicted")
  })
