/** A program that has a relay in it, and nothing else: no disk, no process, no socket. */
import { readFile } from "node:fs/promises"
import { createConnection, createServer } from "node:net"
import { Etag, HttpApp, HttpPlatform, HttpServerRequest, Path } from "@effect/platform"
import { describe, expect, expectTypeOf, it } from "@effect/vitest"
import { Duration, Effect, Layer, Runtime } from "effect"
import {
  Certificates,
  Disk,
  makeSettings,
  NodeId,
  Outbox,
  Relay,
  RelayConfig,
  Reload,
  SharedFileStore,
  SubRelays
} from "../src/index.ts"
import { CrashingDisk } from "../src/testing/CrashingDisk.ts"
import { alone } from "../src/testing/Leases.ts"
import { layer as scriptedAgents } from "../src/testing/ScriptedAgents.ts"
import { ScriptedUpstream } from "../src/testing/ScriptedUpstream.ts"
import { nodesListLayer } from "../src/testing/Topology.ts"
import { hashOf } from "./support/Keys.ts"
import { noFiles, touchedBy } from "./support/Machine.ts"
import { memoryHasher } from "./support/MemoryHasher.ts"
import { MemoryHistory } from "./support/MemoryHistory.ts"
import { MemoryStorage } from "./support/MemoryStorage.ts"
import { queryOf, tree } from "./support/Sharing.ts"

const settings = makeSettings({
  general: { nodeId: NodeId.make("relay") },
  sharedFiles: { path: "/store", minFree: 0, forwardWait: Duration.zero }
})

/** All that a relay uses, of this program's own. */
const makeParts = () => {
  const disk = CrashingDisk.make()
  const storage = new MemoryStorage()
  const upstream = new ScriptedUpstream()
  const agents = scriptedAgents(({ hostname, classes }) => ({
    writes: [{ bytes: `hello from ${hostname} ${classes.join("+")}\n` }]
  }))
  const layer = Layer.mergeAll(Relay.services, Reload.layer([])).pipe(
    Layer.provideMerge(Outbox.layer),
    Layer.provideMerge(SharedFileStore.layer),
    Layer.provideMerge(
      Layer.mergeAll(
        agents,
        SubRelays.unreachable,
        new MemoryHistory().layer,
        storage.layer,
        upstream.layer,
        Layer.succeed(Disk, disk.disk),
        alone(),
        memoryHasher,
        nodesListLayer(tree),
        Certificates.none,
        Layer.succeed(RelayConfig, settings)
      )
    ),
    Layer.provideMerge(Layer.mergeAll(HttpPlatform.layer, Path.layer)),
    Layer.provideMerge(Layer.merge(noFiles, Etag.layer))
  )
  return { disk, storage, upstream, layer }
}

/** The relay as a function from requests to answers, for callers on this machine. */
const handler = Effect.gen(function* () {
  const app = yield* Relay.httpApp
  const runtime = yield* Effect.runtime<Layer.Layer.Success<ReturnType<typeof makeParts>["layer"]>>()
  const local = Effect.updateService(app, HttpServerRequest.HttpServerRequest, (request) =>
    request.modify({ remoteAddress: "127.0.0.1" })
  )
  return HttpApp.toWebHandlerRuntime(runtime)(local)
})

const content = "for a node\n"
const url = (path: string) => `http://relay/rudder/relay-api/${path}`
const asked = `source-uuid=source&hash=${hashOf(content)}`
const pathOf = (target: string) => `shared-files/node/${target}/motd`
const upload = (target: string) =>
  new Request(url(`${pathOf(target)}?source-uuid=source&${queryOf(content)}`), {
    method: "POST",
    body: content
  })

/** What each of the requests was answered. */
const answers = async (handle: (request: Request) => Promise<Response>) => {
  const told = async (request: Request) => {
    const answer = await handle(request)
    return [answer.status, await answer.text()] as const
  }
  const head = (target: string) => told(new Request(url(`${pathOf(target)}?${asked}`), { method: "HEAD" }))
  return {
    run: await told(new Request(url("remote-run/node/target?output=keep&format=raw&classes=a,b"))),
    runs: await told(new Request(url("remote-run/runs"))),
    before: await head("target"),
    upload: await told(upload("target")),
    head: await head("target"),
    elsewhere: await told(upload("far")),
    waiting: await head("far")
  }
}

/** What a Layer still asks for. */
type Missing<L> = L extends Layer.Layer<infer _A, infer _E, infer R> ? R : never

describe("a relay of which everything is in memory", () => {
  it("is whole: nothing is left to give", () => {
    const { layer } = makeParts()
    expectTypeOf<Missing<typeof layer>>().toBeNever()
  })

  it.scoped("runs agents, takes files, tells what it has, and asks the machine for nothing", () => {
    const { disk, storage, upstream, layer } = makeParts()
    // Nobody answers: what is for elsewhere waits.
    upstream.answer = () => "unreachable"
    upstream.hasAnswer = "unreachable"
    return Effect.gen(function* () {
      let told: Awaited<ReturnType<typeof answers>> | undefined
      const program = Effect.gen(function* () {
        const handle = yield* handler
        told = yield* Effect.promise(() => answers(handle))
      }).pipe(Effect.provide(layer))
      const runtime = yield* Effect.runtime()
      const touched = yield* Effect.promise(() => touchedBy(() => Runtime.runPromise(runtime)(program)))

      expect(told).toMatchObject({
        run: [200, "hello from target.example.com a+b\n"],
        runs: [
          200,
          expect.stringMatching(/^\{"runs":\[\{"id":"[^"]+",.*"nodes":1,"running":0,"ok":1,"failed":0/)
        ],
        before: [404, ""],
        upload: [200, expect.stringContaining('"result":"stored"')],
        head: [200, ""],
        elsewhere: [202, expect.stringContaining('"result":"queued"')],
        waiting: [200, ""]
      })
      expect(disk.file("/store/target/source/motd")?.content.toString()).toBe(content)
      expect([...storage.kept.values()].map((kept) => [kept.name.state, kept.content.toString()])).toEqual([
        ["waiting", content]
      ])
      expect(touched).toEqual([])
    })
  })

  it("would be found out if it asked the machine for a file or a connection", async () => {
    expect(await touchedBy(() => readFile(new URL(import.meta.url)))).toContain("FSREQPROMISE")
    const connected = () =>
      new Promise<void>((resolve, reject) => {
        const server = createServer((socket) => socket.end()).on("error", reject)
        server.listen(0, "127.0.0.1", () => {
          const address = server.address()
          const port = address !== null && typeof address === "object" ? address.port : 0
          createConnection(port, "127.0.0.1", () => server.close())
            .resume()
            .on("close", () => resolve())
        })
      })
    expect(await touchedBy(connected)).toEqual(expect.arrayContaining(["TCPSERVERWRAP", "TCPWRAP"]))
  })
})
