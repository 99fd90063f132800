/** The space that contents on their way into the outbox need, on its disk and within its bound. */
import { type Clock, Effect } from "effect"
import { Bag } from "../../Bag.ts"
import type { Settings } from "../../config/Settings.ts"
import type { DiskError, DiskService } from "../../disk/Disk.ts"
import type { Folders } from "../../disk/Folders.ts"
import * as FreeSpace from "../../disk/FreeSpace.ts"
import type { Incoming } from "../../disk/Incoming.ts"
import * as RoomWatch from "../../disk/RoomWatch.ts"
import type { StorageError, StorageFull } from "../../RelayError.ts"
import { mostHeld } from "./EntryFiles.ts"
import type { MakeRoom } from "./OutboxStorage.ts"
import type { Tally } from "./Tally.ts"

/** The space of an outbox. */
export interface OutboxSpace {
  /** To be asked before a content's next bytes are written. */
  readonly watch: RoomWatch.RoomWatch<StorageFull | StorageError>
  /** Bytes that are missing for so many more; 0 when there is room. */
  readonly missing: (size: number) => Effect.Effect<number, DiskError>
  /** Contents on their way in; of some all is in memory, and will need its room on the disk. */
  readonly incoming: Bag<Incoming>
}

/** What the space is looked at with. */
export interface SpaceOptions {
  readonly disk: DiskService
  readonly folders: Folders
  readonly settings: Pick<Settings["sharedFiles"], "outboxMaxSize" | "minFree">
  readonly tally: Tally
  readonly makeRoom: MakeRoom
  readonly clock: Clock.Clock
}

/** Nothing is on its way in yet. */
export const make = ({ disk, folders, settings, tally, makeRoom, clock }: SpaceOptions): OutboxSpace => {
  const free = FreeSpace.make(folders.again(disk.free(folders.root)))
  const incoming = new Bag<Incoming>()
  return {
    incoming,
    watch: RoomWatch.make((size) => {
      free.forget()
      return makeRoom(size)
    }),
    missing: (size) => {
      const beyond = Math.max(0, tally.bytes + size - settings.outboxMaxSize)
      // Of a disk on which much more than this is free nothing has to be counted.
      const most = settings.minFree + incoming.size * mostHeld
      if (free.known(size, most, clock.unsafeCurrentTimeMillis()) !== undefined) return Effect.succeed(beyond)
      let held = 0
      for (const content of incoming) held += content.held()?.length ?? 0
      const least = settings.minFree + held
      return Effect.map(free.beside(size, least), (bytes) => Math.max(beyond, least - (bytes - size)))
    }
  }
}
