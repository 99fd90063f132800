/** The outbox over a storage that is no folder: it does the same there. */
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import {
  Certificates,
  Disk,
  Lease,
  makeSettings,
  NodeId,
  Outbox,
  Relay,
  RelayConfig,
  SubRelays
} from "../../../src/index.ts"
import { layer as scriptedAgents } from "../../../src/testing/ScriptedAgents.ts"
import { ScriptedUpstream } from "../../../src/testing/ScriptedUpstream.ts"
import { nodesListOf } from "../../../src/testing/Topology.ts"
import { MemoryStorage } from "../../support/MemoryStorage.ts"
import { hashOf, memory, nameOf, topology, upload } from "../../support/Outboxes.ts"
import { storeLayer } from "../../support/Stores.ts"

const outboxOver = (storage: MemoryStorage, upstream: ScriptedUpstream, nodeId = "me") =>
  Outbox.layer.pipe(
    Layer.provide([storage.layer, upstream.layer, nodesListOf(topology()), storeLayer(memory())]),
    Layer.provide(Layer.succeed(RelayConfig, makeSettings({ general: { nodeId: NodeId.make(nodeId) } })))
  )

/** The same, as a program has it that embeds the relay, and replaces the disk and what is not to be a process or a network. */
const embedded = (storage: MemoryStorage, upstream: ScriptedUpstream) =>
  Relay.liveWith(
    Layer.mergeAll(
      storage.layer,
      upstream.layer,
      nodesListOf(topology()),
      Layer.succeed(Disk, memory()),
      Lease.none,
      scriptedAgents(() => ({})),
      SubRelays.unreachable,
      Certificates.none
    )
  ).pipe(
    Layer.provide(
      Layer.succeed(
        RelayConfig,
        makeSettings({ general: { nodeId: NodeId.make("me") }, remoteRun: { enabled: false } })
      )
    ),
    Layer.provide(NodeContext.layer)
  )

describe("an outbox over a storage of another kind", () => {
  it.scopedLive("is that of a relay whose storage was replaced", () => {
    const storage = new MemoryStorage()
    const upstream = new ScriptedUpstream()
    upstream.answer = () => "fail"
    return Effect.gen(function* () {
      expect(yield* upload(nameOf("file"), "hello")).toBe("queued")
      expect([...storage.kept.values()]).toMatchObject([{ name: { state: "waiting", size: 5 } }])
      expect(storage.opened).toBe(1)
    }).pipe(Effect.provide(embedded(storage, upstream)))
  })

  it.effect("keeps what waits there, over a restart, until the policy server takes it", () => {
    const storage = new MemoryStorage()
    const upstream = new ScriptedUpstream()
    return Effect.gen(function* () {
      upstream.answer = () => "fail"
      yield* Effect.gen(function* () {
        expect(yield* upload(nameOf("file"), "hello")).toBe("queued")
        expect(storage.open).toBe(1)
      }).pipe(Effect.provide(outboxOver(storage, upstream)))
      expect(storage.open).toBe(0)
      upstream.answer = () => "take"
      yield* Effect.gen(function* () {
        const outbox = yield* Outbox
        expect(yield* outbox.has(nameOf("file"), hashOf("hello"))).toBe(true)
        expect((yield* outbox.list(10, Option.none())).entries).toMatchObject([
          { file_id: "file", state: "waiting", attempts: 1, last_error: "answered 503", size: 5 }
        ])
        expect(yield* upload(nameOf("file"), "hello again")).toBe("stored")
        expect((yield* outbox.status).waiting).toEqual({ entries: 0, bytes: 0 })
      }).pipe(Effect.provide(outboxOver(storage, upstream)))
      expect(storage.kept.size).toBe(0)
      expect(upstream.taken).toMatchObject([{ content: "hello again" }])
    })
  })

  it.effect("makes room there by removing what was refused", () => {
    const storage = new MemoryStorage(10)
    const upstream = new ScriptedUpstream()
    return Effect.gen(function* () {
      upstream.answer = () => "reject"
      yield* Effect.flip(upload(nameOf("first"), "12345678"))
      upstream.answer = () => "fail"
      expect(yield* upload(nameOf("second"), "12345")).toBe("queued")
      expect([...storage.kept.values()]).toMatchObject([{ name: { size: 5, state: "waiting" } }])
      expect(yield* Effect.flip(upload(nameOf("third"), "123456"))).toMatchObject({ _tag: "StorageFull" })
    }).pipe(Effect.provide(outboxOver(storage, upstream)))
  })

  it.effect("is not opened on the root server, which has none", () => {
    const storage = new MemoryStorage()
    return Effect.gen(function* () {
      const outbox = yield* Outbox
      expect(yield* Effect.flip(upload(nameOf("file"), "hello"))).toMatchObject({ _tag: "StorageError" })
      expect(yield* outbox.list(10, Option.none())).toEqual({ entries: [], next: null })
      expect(yield* outbox.retry).toBe(0)
      expect(yield* outbox.remove("none")).toBe(false)
      expect(storage.opened).toBe(0)
    }).pipe(Effect.provide(outboxOver(storage, new ScriptedUpstream(), "root")))
  })
})
