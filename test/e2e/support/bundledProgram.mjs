// A program of somebody else's that runs a real agent, stores a shared file on the real disk and hashes a large content, to
// be bundled into one file.
import { createHash, createPublicKey, generateKeyPairSync } from "node:crypto"
import { createServer } from "node:http"
import { HttpServer } from "@effect/platform"
import { NodeContext, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer, Stream } from "effect"
import {
  ClientConnection,
  Hasher,
  makeRelayClient,
  makeSettings,
  Relay,
  RelayConfig,
  Reload
} from "rudder-relay"
import { nodesListLayer } from "rudder-relay/testing"

const [directory, command] = process.argv.slice(2)
const key = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey
const spki = createPublicKey(key).export({ type: "spki", format: "der" })
const keyHash = `sha256//${createHash("sha256").update(spki).digest("base64")}`

const settings = makeSettings({
  remoteRun: { directory: `${directory}/runs`, command, useSudo: false },
  sharedFiles: { path: `${directory}/shared-files`, outbox: `${directory}/outbox`, minFree: 0 }
})
const served = Layer.unwrapEffect(Effect.map(Relay.httpApp, (app) => HttpServer.serve(app))).pipe(
  Layer.provideMerge(Layer.mergeAll(Relay.services, Reload.layer([]))),
  Layer.provideMerge(Relay.liveWith(nodesListLayer({ web: { hostname: "web", keyHash } }))),
  Layer.provideMerge(Layer.succeed(RelayConfig, settings)),
  Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
  Layer.provideMerge(NodeContext.layer)
)

const program = Effect.gen(function* () {
  const { address } = yield* HttpServer.HttpServer
  const client = yield* makeRelayClient({ url: `http://127.0.0.1:${address.port}` })
  yield* Stream.runForEach(client.run({ nodes: "all" }), (event) =>
    Effect.sync(() => event.event === "output" && console.log(event.line))
  )
  const content = Stream.make(Buffer.from("hello\n"))
  const shared = yield* client.share({ source: "web", target: "web", fileId: "motd", key, content })
  console.log(shared.result)
  const hashing = yield* (yield* Hasher).begin("sha256")
  const digest = yield* hashing.digest(Buffer.alloc(1 << 20))
  console.log(Buffer.from(digest).toString("hex"))
})

NodeRuntime.runMain(
  program.pipe(Effect.scoped, Effect.provide(Layer.merge(served, ClientConnection.layer())))
)
