/**
 * A program with a relay in it: its own routes beside the relay's, agents that are no processes, and a stop that waits
 * for them. `node server.js FOLDER PORT`
 */
import { createServer } from "node:http"
import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { NodeContext, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { makeSettings, NodeId, Relay, RelayConfig, Reload, RemoteRun } from "rudder-relay"
import { ScriptedAgents } from "rudder-relay/testing"

const [folder = "/srv/relay", port = "8080"] = process.argv.slice(2)

// The contract's defaults, and some values of this program's own.
const settings = Layer.succeed(
  RelayConfig,
  makeSettings({
    general: { nodeId: NodeId.make("root"), nodesListFile: `${folder}/nodeslist.json` },
    remoteRun: { directory: `${folder}/runs` },
    sharedFiles: { path: `${folder}/shared-files`, outbox: `${folder}/outbox` }
  })
)

// In the place of processes; any Layer of `AgentProcess` would do.
const agents = ScriptedAgents.layer(({ hostname, classes }) => ({
  writes: [{ bytes: `hello from ${hostname} ${classes.join("+")}\n` }],
  lasts: "100 millis",
  exit: hostname.startsWith("broken") ? 1 : 0
}))

// What the relay does, over what is real but for the agents. What is replaced is never made.
const relay = Layer.mergeAll(Relay.services, Reload.layer([])).pipe(
  Layer.provideMerge(Relay.liveWith(agents)),
  Layer.provideMerge(settings),
  Layer.provideMerge(NodeContext.layer)
)

// The relay takes its base path, /rudder/relay-api, off by itself, and answers /metrics at the root too.
const routes = Effect.gen(function* () {
  const relayApp = yield* Relay.httpApp
  return HttpRouter.empty.pipe(
    HttpRouter.get("/mine", HttpServerResponse.text("my own route")),
    HttpRouter.mountApp("/rudder", relayApp, { includePrefix: true }),
    HttpRouter.mountApp("/metrics", relayApp, { includePrefix: true })
  )
})

// It listens when all behind it is ready, so that whoever is let in is answered.
const listener = createServer()
const http = NodeHttpServer.layer(() => listener, { port: Number(port), host: "127.0.0.1" })

// At the end nobody is let in and no more agents are started, and those that run are waited for, so long; who then still
// hears of one is let go, and it is cancelled. A finalizer can't be interrupted: only what is made so ends at a time-out.
const gracefulStop = Layer.scopedDiscard(
  Effect.flatMap(RemoteRun, ({ drain }) =>
    Effect.addFinalizer(() =>
      Effect.sync(() => listener.close()).pipe(
        Effect.andThen(Effect.timeoutOption(Effect.interruptible(drain), "30 seconds")),
        Effect.andThen(Effect.sync(() => listener.closeAllConnections()))
      )
    )
  )
)

const announcement = Layer.effectDiscard(
  HttpServer.addressFormattedWith((address) => Console.log(`listening on ${address}`))
)

const server = Layer.unwrapEffect(
  Effect.map(routes, (app) =>
    Layer.merge(gracefulStop, announcement).pipe(Layer.provide(HttpServer.serve(app)), Layer.provide(http))
  )
).pipe(Layer.provide(relay))

NodeRuntime.runMain(Layer.launch(server))
