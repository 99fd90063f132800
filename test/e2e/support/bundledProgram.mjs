// A program of somebody else's that runs a real agent and hashes a large content, to be bundled into one file.
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Chunk, Effect, Layer, Stream } from "effect"
import { FolderLease, Hasher, makeSettings, Relay, RelayConfig, RemoteRun } from "rudder-relay"
import { nodesListLayer } from "rudder-relay/testing"

const [directory, command] = process.argv.slice(2)
const settings = makeSettings({
  remoteRun: { directory: `${directory}/runs`, command, useSudo: false },
  sharedFiles: { path: `${directory}/shared-files`, outbox: `${directory}/outbox`, minFree: 0 }
})
const relay = Relay.services.pipe(
  Layer.provideMerge(
    Relay.liveWith(Layer.mergeAll(nodesListLayer({ web: { hostname: "web" } }), FolderLease.layer))
  ),
  Layer.provideMerge(Layer.succeed(RelayConfig, settings)),
  Layer.provideMerge(NodeContext.layer)
)

const program = Effect.gen(function* () {
  const remoteRun = yield* RemoteRun
  const run = yield* remoteRun.start({ target: { _tag: "All" }, classes: [], output: "keep" })
  const bytes = yield* Stream.runCollect(run.read({ format: "raw", order: "live", after: 0 }))
  process.stdout.write(Buffer.concat(Chunk.toReadonlyArray(bytes)))
  const hashing = yield* (yield* Hasher).begin("sha256")
  const digest = yield* hashing.digest(Buffer.alloc(1 << 20))
  console.log(Buffer.from(digest).toString("hex"))
}).pipe(Effect.scoped, Effect.provide(relay))

NodeRuntime.runMain(program)
