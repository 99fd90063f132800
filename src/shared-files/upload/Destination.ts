/** Where an upload goes: into the store, or, where its target is not below this relay, into the outbox. */
import { Effect, Option, type Scope } from "effect"
import * as AtOnce from "../../AtOnce.ts"
import type * as ContentHash from "../../disk/ContentHash.ts"
import type { Turn } from "../../disk/FileLocks.ts"
import type { Incoming } from "../../disk/Incoming.ts"
import type { Batch } from "../../EventLoop.ts"
import { type StorageError, type StorageFull, TooBusy, type UpstreamRejected } from "../../RelayError.ts"
import type { SharedFileName } from "../file/FileId.ts"
import { keyOf, type Location } from "../file/Location.ts"
import type * as Metadata from "../file/Metadata.ts"
import type { BadSignature } from "../file/SharedFileError.ts"
import type { Forwarded, OutboxService } from "../outbox/Outbox.ts"
import type { SharedFileStoreService } from "../store/SharedFileStore.ts"

/** A file that is on the disk. */
export interface Kept {
  /** As it was kept. */
  readonly metadata: Metadata.Metadata
  /** Where the file is in the end. In the outbox this waits for the policy server, as long as a sender waits. */
  readonly forwarded: Effect.Effect<Forwarded, UpstreamRejected>
}

/** A place that a file can be taken to. */
export interface Destination {
  /** A request to write this file begins, and ends with the scope. */
  readonly turn: Effect.Effect<Turn, never, Scope.Scope>
  /** Whether a content of this hash is wanted at all; undefined: any is. */
  readonly checkHash:
    | ((hash: ContentHash.ContentHash) => Effect.Effect<void, UpstreamRejected | StorageError>)
    | undefined
  /** `StorageFull` where there is no room for so many more bytes. */
  readonly checkRoom: (size: number) => Effect.Effect<void, StorageFull | StorageError>
  /** The same for a content that has come: of what is on the disk already nothing more is needed. */
  readonly checkRoomFor: (incoming: Incoming) => Effect.Effect<void, StorageFull | StorageError>
  /** A file on its way in: gone with its scope, unless it was committed. */
  readonly begin: Effect.Effect<Incoming, StorageFull | StorageError, Scope.Scope>
  /**
   * On the disk when this returns. `BadSignature` (stale): what is there does not allow it; `TooBusy`: by the time of the call
   * the file belongs elsewhere.
   */
  readonly commit: (
    turn: Turn,
    incoming: Incoming,
    metadata: Metadata.Metadata
  ) => Effect.Effect<Kept, BadSignature | StorageFull | StorageError | TooBusy>
}

/**
 * The place of a file in the store.
 *
 * @param locationNow where a file of this name belongs by now, asked for by the call
 */
export const inStore = (
  store: SharedFileStoreService,
  { name, batch }: { readonly name: SharedFileName; readonly batch?: Batch | undefined },
  location: Location,
  locationNow: () => Effect.Effect<Option.Option<Location>>
): Destination => {
  /**
   * Requests that begin where the file belongs by now don't know of one that began elsewhere, so that it might take the
   * place of a later one's.
   */
  const moved = Effect.suspend(
    () =>
      new TooBusy({
        message: `the way to ${name.target} changed while the file came`,
        retryAfterSeconds: 1
      })
  )
  return {
    turn: store.turn(location),
    checkHash: undefined,
    checkRoom: store.checkRoom,
    checkRoomFor: (incoming) => store.checkRoom(incoming.held()?.length ?? 0),
    begin: store.begin,
    commit: (turn, incoming, metadata) =>
      AtOnce.flatMap(
        locationNow(),
        (found): ReturnType<Destination["commit"]> =>
          Option.exists(found, (now) => now === location || keyOf(now) === keyOf(location))
            ? AtOnce.map(store.commit(location, turn, incoming, metadata, batch), stored)
            : moved
      )
  }
}

const stored = (metadata: Metadata.Metadata): Kept => ({ metadata, forwarded: Effect.succeed("stored") })

/** The place of a file among those that wait for the policy server. */
export const inOutbox = (outbox: OutboxService, name: SharedFileName): Destination => ({
  turn: outbox.turn(name),
  checkHash: (hash) => outbox.checkRefused(name, hash),
  checkRoom: outbox.checkRoom,
  // The outbox counts what comes, and looks for room when it takes it over.
  checkRoomFor: () => Effect.void,
  begin: outbox.begin,
  commit: (turn, incoming, metadata) =>
    AtOnce.map(outbox.commit(name, turn, incoming, metadata), (forwarded) => ({ metadata, forwarded }))
})
