/** A sub-relay by script, and a relay above it, with the real client between them. */
import type { IncomingMessage, ServerResponse } from "node:http"
import * as Https from "node:https"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Duration, Effect, Layer, Stream } from "effect"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import * as NodeDisk from "../../src/disk/NodeDisk.ts"
import { NodeId } from "../../src/NodeId.ts"
import type { PeerClient } from "../../src/peers/PeerClient.ts"
import * as PeerConnections from "../../src/peers/PeerConnections.ts"
import { AgentProcess, type AgentProcessService } from "../../src/remote-run/agents/AgentProcess.ts"
import * as FolderHistory from "../../src/remote-run/journal/FolderHistory.ts"
import type { RunFormat } from "../../src/remote-run/journal/RunFormat.ts"
import { RemoteRun, type RunOrder } from "../../src/remote-run/RemoteRun.ts"
import * as SubRelayCalls from "../../src/remote-run/sub-relays/SubRelayCalls.ts"
import { Certificates, type CertificatesService } from "../../src/topology/Certificates.ts"
import { alone } from "./Leases.ts"
import { selfSigned } from "./SelfSigned.ts"
import { nodesListLayer, type Tree } from "./Topology.ts"

export const certificate = selfSigned([["UID", "relay"]])
export const runId = "01900000-0000-7000-8000-000000000000"

/** A request that the scripted sub-relay got. */
export interface Asked {
  readonly method: string
  readonly path: string
  readonly accept: string
  readonly form: URLSearchParams
  readonly length: number
}

export type Script = (response: ServerResponse, asked: Asked) => void

/** What a relay says that has no such run, or no such route. */
export const gone: Script = (response) =>
  void response.writeHead(404, { "content-type": "application/json" }).end('{"_tag":"RunNotFound"}')

/** A sub-relay by script; `DELETE` is answered 202, and who wants to go on hearing a run by another script. */
export const scripted = (script: Script, again: Script = gone) =>
  Effect.gen(function* () {
    const asked: Array<Asked> = []
    let connections = 0
    const server = Https.createServer({ cert: certificate.cert, key: certificate.key }, (request, response) =>
      collect(request, (body) => {
        const one = {
          method: request.method ?? "",
          path: request.url ?? "",
          accept: request.headers.accept ?? "",
          form: new URLSearchParams(body),
          length: body.length
        }
        asked.push(one)
        if (one.method === "DELETE") response.writeHead(202).end()
        else if (one.method === "GET") again(response, one)
        else script(response, one)
      })
    )
    server.on("connection", () => connections++)
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    )
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    return { asked, port, connections: () => connections }
  })

const collect = (request: IncomingMessage, whole: (body: string) => void): void => {
  let body = ""
  request.on("data", (bytes) => {
    body += bytes
  })
  request.on("error", () => {})
  request.on("end", () => whole(body))
}

/** The one certificate that is known. */
export const known = (pinned: ReturnType<typeof selfSigned>): CertificatesService => ({
  forNode: (id) => Effect.succeed(id === "relay" ? [pinned.x509] : []),
  reload: Effect.void
})

interface Setting {
  readonly port: number
  readonly tree: Tree
  readonly agent?: AgentProcessService["run"]
  readonly pinned?: ReturnType<typeof selfSigned>
  readonly peerClient?: Layer.Layer<PeerClient, never, RelayConfig | FileSystem.FileSystem>
  /** For how long a cut stream is tried to be taken up again. */
  readonly reconnect?: Duration.DurationInput
}

/** A relay above a scripted one: the real client, over TLS with pinned certificates. */
export const relayAbove = ({ port, tree, agent, pinned = certificate, peerClient, reconnect }: Setting) =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped({ prefix: "rudder-relay-runs-" })
      const settings = makeSettings({
        general: { nodeId: NodeId.make("me"), httpsPort: port },
        remoteRun: {
          directory,
          ...(reconnect === undefined ? {} : { reconnect: Duration.decode(reconnect) })
        }
      })
      return RemoteRun.layer.pipe(
        Layer.provide(SubRelayCalls.layer),
        Layer.provideMerge(FolderHistory.layer),
        Layer.provide([
          alone(),
          NodeDisk.layer,
          peerClient ?? PeerConnections.layer,
          nodesListLayer(tree),
          Layer.succeed(Certificates, known(pinned)),
          Layer.succeed(AgentProcess, {
            run: agent ?? (() => Effect.succeed({ code: 0, signal: null })),
            unkillable: Effect.succeed(0)
          })
        ]),
        Layer.provide(Layer.succeed(RelayConfig, settings))
      )
    })
  ).pipe(Layer.provide(NodeContext.layer), Layer.orDie)

/** Nodes behind the sub-relay. */
export const behind = (...ids: ReadonlyArray<string>): Tree => ({
  relay: { hostname: "127.0.0.1" },
  ...Object.fromEntries(ids.map((id) => [id, { hostname: `${id}.example.com`, relays: ["relay"] }]))
})

export const order = (ids: ReadonlyArray<string>, over: Partial<RunOrder> = {}): RunOrder => ({
  target: { _tag: "Nodes", ids: ids.map((id) => NodeId.make(id)) },
  classes: [],
  output: "keep",
  ...over
})

export type Event = Record<string, unknown>

export const bytesOf = (
  run: {
    readonly read: (options: {
      format: RunFormat
      order: "live" | "blocks"
      after: number
    }) => Stream.Stream<Uint8Array, unknown>
  },
  format: RunFormat,
  inOrder: "live" | "blocks" = "live"
) =>
  run.read({ format, order: inOrder, after: 0 }).pipe(
    Stream.runCollect,
    Effect.map((chunks) => Buffer.concat([...chunks]))
  )

export const parse = (ndjson: Buffer): ReadonlyArray<Event> =>
  ndjson
    .toString("utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line): Event => JSON.parse(line))

/** Runs the nodes, and gives what the run said in the end. */
export const running = (ids: ReadonlyArray<string>, over: Partial<RunOrder> = {}) =>
  Effect.gen(function* () {
    const remoteRun = yield* RemoteRun
    const run = yield* remoteRun.start(order(ids, over))
    return parse(yield* bytesOf(run, "ndjson"))
  })

export const endsOf = (events: ReadonlyArray<Event>) => events.filter(({ event }) => event === "end")
export const endOf = (events: ReadonlyArray<Event>, node: string) =>
  endsOf(events).find((event) => event.node === node)

export const ndjson = (response: ServerResponse, ...events: ReadonlyArray<Event | string>): void => {
  if (!response.headersSent) response.writeHead(200, { "content-type": "application/x-ndjson" })
  for (const event of events) response.write(`${typeof event === "string" ? event : JSON.stringify(event)}\n`)
}

export const runEvent = (nodes: ReadonlyArray<string>, unknown: ReadonlyArray<string> = []): Event => ({
  event: "run",
  id: runId,
  nodes,
  unknown,
  classes: []
})
export const startEvent = (node: string): Event => ({ event: "start", node, hostname: `${node}.below` })
export const endEvent = (node: string, over: Event = {}): Event => ({
  event: "end",
  node,
  code: 0,
  duration: 1.5,
  stderr: "",
  ...over
})
export const done: Event = { event: "done", ok: 0, failed: 0, duration: 2 }

export const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
