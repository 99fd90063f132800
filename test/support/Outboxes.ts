/** An outbox for tests: on a disk in memory, below a policy server that is scripted. */
import { createHash } from "node:crypto"
import { Duration, Effect, Layer, Option, TestClock } from "effect"
import { createFsFromVolume, Volume } from "memfs"
import { type GivenSettings, makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import { Disk, type DiskService } from "../../src/disk/Disk.ts"
import { make as makeDisk } from "../../src/disk/NodeDisk.ts"
import * as EventLoop from "../../src/EventLoop.ts"
import { NodeId } from "../../src/NodeId.ts"
import { FileId, type SharedFileName } from "../../src/shared-files/file/FileId.ts"
import type * as Metadata from "../../src/shared-files/file/Metadata.ts"
import * as EntryName from "../../src/shared-files/outbox/EntryName.ts"
import { Outbox } from "../../src/shared-files/outbox/Outbox.ts"
import * as OutboxFolder from "../../src/shared-files/outbox/OutboxFolder.ts"
import { SharedFileStore } from "../../src/shared-files/store/SharedFileStore.ts"
import { alone } from "../../src/testing/Leases.ts"
import type { ScriptedUpstream } from "../../src/testing/ScriptedUpstream.ts"
import { nodesListOf, type Topology } from "../../src/testing/Topology.ts"
import { keyNamed } from "./Keys.ts"

export const memory = (): DiskService => {
  const fs = createFsFromVolume(new Volume())
  // memfs says of itself that it is node's fs, and has what `NodeFs` names; its types differ in overloads only.
  return makeDisk(fs as unknown as Parameters<typeof makeDisk>[0])
}

export const topology = (): Topology => ({
  tree: { source: { hostname: "source.example.com" } },
  neverLoaded: false
})

export const outboxLayer = (parts: {
  readonly disk: DiskService
  readonly upstream: ScriptedUpstream
  readonly topology?: Topology
  readonly sharedFiles?: GivenSettings["sharedFiles"]
}) =>
  Outbox.layer.pipe(
    Layer.provide(OutboxFolder.layer),
    Layer.provideMerge(SharedFileStore.layer),
    Layer.provideMerge(nodesListOf(parts.topology ?? topology())),
    Layer.provide([parts.upstream.layer, Layer.succeed(Disk, parts.disk), alone()]),
    Layer.provideMerge(
      Layer.succeed(
        RelayConfig,
        makeSettings({
          general: { nodeId: NodeId.make("me") },
          sharedFiles: {
            path: "/store",
            outbox: "/outbox",
            minFree: 0,
            cleanupFrequency: Duration.days(1),
            forwardWait: Duration.seconds(5),
            ...parts.sharedFiles
          }
        })
      )
    )
  )

export const nameOf = (fileId: string, target = "far"): SharedFileName => ({
  target: NodeId.make(target),
  source: NodeId.make("source"),
  fileId: FileId.make(fileId)
})

const { text: shortPubkey } = keyNamed("source")

export const hashOf = (content: string) => ({
  algorithm: "sha512" as const,
  hex: createHash("sha512").update(content).digest("hex")
})

export const sha256Of = (content: string) => ({
  algorithm: "sha256" as const,
  hex: createHash("sha256").update(content).digest("hex")
})

export const metadataOf = (content: string, more: Partial<Metadata.Metadata> = {}): Metadata.Metadata => ({
  hash: hashOf(content),
  digest: "00ff",
  shortPubkey,
  hostname: "source.example.com",
  keydate: "2026-01-01",
  keyid: "ABCDEF01",
  date: Option.some("2026-01-05T09:00:00.000Z"),
  size: Option.some(Buffer.byteLength(content)),
  expires: Option.none(),
  scope: Option.none(),
  ...more
})

/** An upload as `SharedFiles` makes it: gives the effect that waits for the outcome. */
export const accept = (name: SharedFileName, content: string, more: Partial<Metadata.Metadata> = {}) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    const turn = yield* outbox.turn(name)
    yield* outbox.checkRefused(name, hashOf(content))
    yield* outbox.checkRoom(Buffer.byteLength(content))
    const incoming = yield* outbox.begin
    yield* incoming.write(Buffer.from(content))
    return yield* outbox.commit(name, turn, incoming, metadataOf(content, more))
  }).pipe(Effect.scoped)

export const upload = (name: SharedFileName, content: string, more: Partial<Metadata.Metadata> = {}) =>
  Effect.flatten(accept(name, content, more))

/** Until what is under way on the disk in memory has come to rest: nothing of it takes a timer. */
export const rest = Effect.repeatN(Effect.andThen(Effect.yieldNow(), EventLoop.turn), 60)

/** The clock goes on, and what it sets off comes to rest. */
export const pass = (time: Duration.DurationInput) => Effect.andThen(TestClock.adjust(time), rest)

/** Takes the content of all entries for another one that is as long, as a disk may that lost some of it. */
export const spoil = (disk: DiskService) =>
  Effect.gen(function* () {
    for (const shard of yield* disk.list("/outbox/entries"))
      for (const name of yield* disk.names(`/outbox/entries/${shard.name}`)) {
        const entry = Option.getOrUndefined(EntryName.parse(name))
        if (entry === undefined) continue
        const path = `/outbox/entries/${shard.name}/${name}`
        const bytes = Buffer.from((yield* disk.readSmall(path)) ?? []).fill(0, 0, entry.size)
        yield* disk.sequence([
          { _tag: "Remove", path },
          { _tag: "Write", path, mode: 0o600, bytes, modified: 0 }
        ])
      }
  })
