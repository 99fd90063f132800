/** Where the outbox keeps its entries: a port. All that outlives the process is behind it. */
import { Context, type Effect, type Scope } from "effect"
import type { FolderUnusable } from "../../disk/FolderUnusable.ts"
import type { StorageError, StorageFull } from "../../RelayError.ts"
import type { Spool } from "./Spool.ts"

/** Makes room for so many more bytes of content. `StorageFull`: there is none, whatever is given up. */
export type MakeRoom = (size: number) => Effect.Effect<void, StorageFull | StorageError>

/** What has an outbox to open. */
export interface OutboxStorageService {
  /**
   * The outbox, with what is in it from before; this relay's alone until the scope ends. Nothing of the storage is touched
   * before, since the root server has no outbox. `FolderUnusable`: it can't be had, read or written.
   *
   * @param makeRoom called while a content comes and there is no room for its next piece
   */
  readonly open: (makeRoom: MakeRoom) => Effect.Effect<Spool, FolderUnusable, Scope.Scope>
}

/** The storage of the outbox; `OutboxFolder.layer` is a folder on the disk. */
export class OutboxStorage extends Context.Tag("rudder-relay/OutboxStorage")<
  OutboxStorage,
  OutboxStorageService
>() {}
