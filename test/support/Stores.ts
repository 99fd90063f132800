/** A store for tests, on the disk that a test gives. */
import { Effect, HashMap, Layer, Logger, Option } from "effect"
import { createFsFromVolume, Volume } from "memfs"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import type { Settings } from "../../src/config/Settings.ts"
import { Disk, type DiskService } from "../../src/disk/Disk.ts"
import { make as makeDisk } from "../../src/disk/NodeDisk.ts"
import { type Location, locate } from "../../src/shared-files/file/Location.ts"
import type * as Metadata from "../../src/shared-files/file/Metadata.ts"
import { SharedFileStore } from "../../src/shared-files/store/SharedFileStore.ts"
import { alone } from "../../src/testing/Leases.ts"
import { metadataOf, nameOf } from "./Outboxes.ts"

export const defaults = makeSettings({ sharedFiles: { path: "/store", minFree: 0 } })

export const storeLayer = (disk: DiskService, sharedFiles: Partial<Settings["sharedFiles"]> = {}) =>
  SharedFileStore.layer.pipe(
    Layer.provide([
      Layer.succeed(Disk, disk),
      alone(),
      Layer.succeed(RelayConfig, { ...defaults, sharedFiles: { ...defaults.sharedFiles, ...sharedFiles } })
    ])
  )

export const locationOf = (fileId: string, target = "target"): Location =>
  locate("tree", [], nameOf(fileId, target))

/** An upload as `SharedFiles` makes it, up to where it is verified; gives what the commit gives. */
export const receive = (location: Location, pieces: ReadonlyArray<string>, metadata: Metadata.Metadata) =>
  Effect.gen(function* () {
    const store = yield* SharedFileStore
    const turn = yield* store.turn(location)
    yield* store.checkRoom(Option.getOrElse(metadata.size, () => 0))
    const incoming = yield* store.begin
    for (const piece of pieces) yield* incoming.write(Buffer.from(piece))
    yield* store.commit(location, turn, incoming, metadata)
  }).pipe(Effect.scoped)

export const upload = (location: Location, content: string, more: Partial<Metadata.Metadata> = {}) =>
  receive(location, [content], metadataOf(content, more))

/** A disk in memory that a test may write to past the store. */
export const openDisk = () => {
  const fs = createFsFromVolume(new Volume())
  // memfs says of itself that it is node's fs, and has what `NodeFs` names; its types differ in overloads only.
  return { fs, disk: makeDisk(fs as unknown as Parameters<typeof makeDisk>[0]) }
}

/** All that is said, as it is said: a message and its annotations. */
export const listening = () => {
  const said: Array<string> = []
  const layer = Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ message, annotations }) => {
      said.push([message, ...HashMap.values(annotations)].flat().join(" "))
    })
  )
  return { said, layer }
}
