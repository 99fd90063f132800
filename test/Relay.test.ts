/** A program of somebody else's that has a relay in it: its own server, its own agents. */

import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import {
  type FileSystem,
  HttpApiClient,
  HttpClient,
  HttpClientRequest,
  HttpRouter,
  HttpServer,
  HttpServerResponse
} from "@effect/platform"
import { NodeContext, NodeHttpServer } from "@effect/platform-node"
import { describe, expect, expectTypeOf, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import {
  AgentProcess,
  makeSettings,
  NodeId,
  NodesList,
  type Outbox,
  Relay,
  RelayApi,
  RelayConfig,
  Reload,
  type SharedFileStore,
  type SubRelays,
  Upstream,
  UpstreamUnreachable
} from "../src/index.ts"
import { nodesListLayer } from "../src/testing/Topology.ts"

/** Agents of the embedding program: no processes at all. */
const agents = Layer.succeed(AgentProcess, {
  run: ({ hostname, classes }, output) =>
    Effect.sync(() => {
      output.write("stdout", Buffer.from(`hello from ${hostname} ${classes.join("+")}\n`), () => {})
      return { code: 0, signal: null }
    }),
  unkillable: Effect.succeed(0)
})

const settings = Layer.scoped(
  RelayConfig,
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "rudder-relay-embedded-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
  ).pipe(
    Effect.map((directory) =>
      makeSettings({
        general: { nodeId: NodeId.make("root") },
        remoteRun: { directory },
        sharedFiles: { path: join(directory, "shared-files") }
      })
    )
  )
)

/** The embedding program is root: there is nobody above it. */
const upstream = Layer.succeed(Upstream, {
  put: () => new UpstreamUnreachable({ message: "there is none" }),
  has: () => new UpstreamUnreachable({ message: "there is none" })
})

const nodes = nodesListLayer({ web: { hostname: "web.example.com" }, db: { hostname: "db.example.com" } })

const parts = Layer.mergeAll(Relay.services, Reload.layer([])).pipe(
  Layer.provideMerge(Relay.liveWith(Layer.mergeAll(agents, upstream, nodes))),
  Layer.provideMerge(settings),
  Layer.provideMerge(NodeContext.layer)
)

/** The program's own route beside all of the relay's. */
const program = Effect.gen(function* () {
  const relay = yield* Relay.httpApp
  return HttpRouter.empty.pipe(
    HttpRouter.get("/mine", HttpServerResponse.text("my own route")),
    HttpRouter.mountApp("/rudder", relay, { includePrefix: true })
  )
})

const served = Layer.unwrapEffect(Effect.map(program, (app) => HttpServer.serve(app))).pipe(
  Layer.provideMerge(parts),
  Layer.provideMerge(NodeHttpServer.layerTest)
)

/** What a Layer still asks for. */
type Missing<L> = L extends Layer.Layer<infer _A, infer _E, infer R> ? R : never

describe("the services of a relay", () => {
  it("are not whole without their agents, disk and peers: leaving one out does not compile", () => {
    const withAgentsAlone = Relay.services.pipe(Layer.provide(agents))
    expectTypeOf<Missing<typeof Relay.services>>().extract<AgentProcess>().toEqualTypeOf<AgentProcess>()
    expectTypeOf<Missing<typeof withAgentsAlone>>().extract<AgentProcess>().toBeNever()
    expectTypeOf<Missing<typeof withAgentsAlone>>()
      .extract<SharedFileStore>()
      .toEqualTypeOf<SharedFileStore>()
    expectTypeOf<Missing<typeof withAgentsAlone>>().extract<SubRelays>().toEqualTypeOf<SubRelays>()
    expectTypeOf<Missing<typeof withAgentsAlone>>().extract<Outbox>().toEqualTypeOf<Outbox>()
  })

  it("are whole over what is live: only the configuration and the platform's files are left to give", () => {
    const whole = Relay.services.pipe(Layer.provide(Relay.live))
    expectTypeOf<Missing<typeof whole>>().toEqualTypeOf<RelayConfig | FileSystem.FileSystem>()
  })
})

describe("a relay in another program", () => {
  it.scopedLive("serves its routes beside that program's own, with its agents", () =>
    Effect.gen(function* () {
      const client = yield* HttpClient.HttpClient
      expect(yield* Effect.flatMap(client.get("/mine"), (answer) => answer.text)).toBe("my own route")
      const run = yield* client.get(
        "/rudder/relay-api/remote-run/node/web?output=keep&format=raw&classes=a,b"
      )
      expect(yield* run.text).toBe("hello from web.example.com a+b\n")
      const refused = yield* client.get("/rudder/relay-api/remote-run/node/nobody")
      expect(refused.status).toBe(404)
    }).pipe(Effect.provide(served))
  )

  it.scopedLive("is called by the client that its API definition gives", () =>
    Effect.gen(function* () {
      const client = yield* HttpApiClient.make(RelayApi, {
        // The test server's client has put its own address before the path.
        transformClient: HttpClient.mapRequest(
          HttpClientRequest.updateUrl((url) => url.replace(/^http:\/\/[^/]+/, "$&/rudder/relay-api"))
        )
      })
      const { data } = yield* client.system.info()
      expect(data["full-version"]).toMatch(/^\d+\.\d+\.\d+$/)
      yield* client.remoteRun.getAll({ urlParams: { output: "keep" } })
      const { runs } = yield* client.remoteRun.runs({ urlParams: {} })
      expect(runs[0]).toMatchObject({ nodes: 2, ok: 2, failed: 0 })
      const error = yield* Effect.flip(
        client.remoteRun.getNode({ path: { uuid: NodeId.make("nobody") }, urlParams: {} })
      )
      expect(error).toMatchObject({ _tag: "UnknownTarget", target: "nobody" })
      const list = yield* NodesList
      expect(Option.isSome((yield* list.current).get("web"))).toBe(true)
    }).pipe(Effect.provide(served))
  )
})
