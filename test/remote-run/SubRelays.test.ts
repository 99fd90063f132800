import type { IncomingMessage, ServerResponse } from "node:http"
import * as Https from "node:https"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Stream, TestClock } from "effect"
import { PeerClient, PeerUnreachable } from "../../src/http/PeerClient.ts"
import { makeSettings, RelayConfig } from "../../src/RelayConfig.ts"
import { AgentProcess, type AgentProcessService } from "../../src/remote-run/AgentProcess.ts"
import { ClassName } from "../../src/remote-run/ClassName.ts"
import { RemoteRun, type RunOrder } from "../../src/remote-run/RemoteRun.ts"
import type { RunFormat } from "../../src/remote-run/RunFormat.ts"
import { RunHistory } from "../../src/remote-run/RunHistory.ts"
import { SubRelays } from "../../src/remote-run/SubRelays.ts"
import { Certificates } from "../../src/topology/Certificates.ts"
import { NodeId } from "../../src/topology/NodeId.ts"
import { selfSigned } from "../access/SelfSigned.ts"
import { nodesListLayer, type Tree } from "../support/Topology.ts"

const certificate = selfSigned([["UID", "relay"]])
const other = selfSigned([["UID", "relay"]])
const runId = "01900000-0000-7000-8000-000000000000"

/** A request that the scripted sub-relay got. */
interface Asked {
  readonly method: string
  readonly path: string
  readonly accept: string
  readonly form: URLSearchParams
  readonly length: number
}

type Script = (response: ServerResponse, asked: Asked) => void

/** A sub-relay by script; `DELETE` is answered 202. */
const scripted = (script: Script) =>
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

interface Setting {
  readonly port: number
  readonly tree: Tree
  readonly agent?: AgentProcessService["run"]
  readonly pinned?: ReturnType<typeof selfSigned>
  readonly peerClient?: Layer.Layer<PeerClient>
}

/** A relay above a scripted one: the real client, over TLS with pinned certificates. */
const relayAbove = ({ port, tree, agent, pinned = certificate, peerClient }: Setting) =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped({ prefix: "rudder-relay-runs-" })
      const settings = makeSettings({
        general: { nodeId: NodeId.make("me"), httpsPort: port },
        remoteRun: { directory }
      })
      return RemoteRun.layer.pipe(
        Layer.provide(SubRelays.layer),
        Layer.provideMerge(RunHistory.layer),
        Layer.provide([
          peerClient ?? PeerClient.layer,
          nodesListLayer(tree),
          Layer.succeed(Certificates, {
            forNode: (id) => Effect.succeed(id === "relay" ? [pinned.x509] : []),
            reload: Effect.void
          }),
          Layer.succeed(AgentProcess, {
            run: agent ?? (() => Effect.succeed({ code: 0, signal: null })),
            unkillable: Effect.succeed(0)
          })
        ]),
        Layer.provide(Layer.succeed(RelayConfig, settings))
      )
    })
  ).pipe(Layer.provide(NodeContext.layer))

/** Nodes behind the sub-relay. */
const behind = (...ids: ReadonlyArray<string>): Tree => ({
  relay: { hostname: "127.0.0.1" },
  ...Object.fromEntries(ids.map((id) => [id, { hostname: `${id}.example.com`, relays: ["relay"] }]))
})

const order = (ids: ReadonlyArray<string>, over: Partial<RunOrder> = {}): RunOrder => ({
  target: { _tag: "Nodes", ids: ids.map((id) => NodeId.make(id)) },
  classes: [],
  output: "keep",
  ...over
})

type Event = Record<string, unknown>

const bytesOf = (
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

const parse = (ndjson: Buffer): ReadonlyArray<Event> =>
  ndjson
    .toString("utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line): Event => JSON.parse(line))

/** Runs the nodes, and gives what the run said in the end. */
const running = (ids: ReadonlyArray<string>, over: Partial<RunOrder> = {}) =>
  Effect.gen(function* () {
    const remoteRun = yield* RemoteRun
    const run = yield* remoteRun.start(order(ids, over))
    return parse(yield* bytesOf(run, "ndjson"))
  })

const endsOf = (events: ReadonlyArray<Event>) => events.filter(({ event }) => event === "end")
const endOf = (events: ReadonlyArray<Event>, node: string) =>
  endsOf(events).find((event) => event.node === node)

const ndjson = (response: ServerResponse, ...events: ReadonlyArray<Event | string>): void => {
  if (!response.headersSent) response.writeHead(200, { "content-type": "application/x-ndjson" })
  for (const event of events) response.write(`${typeof event === "string" ? event : JSON.stringify(event)}\n`)
}

const runEvent = (nodes: ReadonlyArray<string>, unknown: ReadonlyArray<string> = []): Event => ({
  event: "run",
  id: runId,
  nodes,
  unknown,
  classes: []
})
const startEvent = (node: string): Event => ({ event: "start", node, hostname: `${node}.below` })
const endEvent = (node: string, over: Event = {}): Event => ({
  event: "end",
  node,
  code: 0,
  duration: 1.5,
  stderr: "",
  ...over
})
const done: Event = { event: "done", ok: 0, failed: 0, duration: 2 }

const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

describe("nodes behind a sub-relay", () => {
  it.scopedLive("are asked of it in one call, and its events are this run's events", () =>
    Effect.gen(function* () {
      const strangeEnd = {
        code: null,
        signal: "SIGKILL",
        stderr: "error: é\n",
        truncated: true,
        dropped: 7,
        duration: 8.893
      }
      const { asked, port } = yield* scripted((response) => {
        ndjson(
          response,
          runEvent(["A", "B"], ["C"]),
          startEvent("A"),
          { event: "output", node: "A", stream: "stdout", line: "hello" },
          { event: "ping" },
          startEvent("B"),
          { event: "output", node: "B", stream: "stderr", line: "\ufffd", base64: "/w==" },
          endEvent("B", strangeEnd),
          endEvent("A", { code: 3 }),
          done
        )
        response.end()
      })
      const events = yield* Effect.provide(
        running(["A", "B", "C", "X"], { classes: [] }),
        relayAbove({ port, tree: behind("A", "B", "C") })
      )
      expect(asked.map(({ form, ...rest }) => ({ ...rest, form: [...form] }))).toMatchObject([
        {
          method: "POST",
          path: "/rudder/relay-api/remote-run/nodes",
          accept: "application/x-ndjson",
          form: [
            ["nodes", "A,B,C"],
            ["classes", ""],
            ["asynchronous", "true"],
            ["keep_output", "true"]
          ]
        }
      ])
      const message = "sub-relay relay does not know this node"
      expect(events.slice(1, -1)).toEqual([
        endEvent("C", {
          code: null,
          error: { _tag: "UnknownTarget", message },
          duration: expect.any(Number)
        }),
        startEvent("A"),
        { event: "output", node: "A", stream: "stdout", line: "hello" },
        startEvent("B"),
        { event: "output", node: "B", stream: "stderr", line: "\ufffd", base64: "/w==" },
        endEvent("B", strangeEnd),
        endEvent("A", { code: 3 })
      ])
      expect(events[0]).toMatchObject({ nodes: ["A", "B", "C"], unknown: ["X"] })
      expect(events.at(-1)).toMatchObject({ event: "done", ok: 0, failed: 3 })
    })
  )

  it.scopedLive("are asked with the run's classes", () =>
    Effect.gen(function* () {
      const { asked, port } = yield* scripted((response) => {
        ndjson(response, runEvent(["A"]), endEvent("A"), done)
        response.end()
      })
      yield* Effect.provide(
        running(["A"], { classes: [ClassName.make("x"), ClassName.make("y")] }),
        relayAbove({ port, tree: behind("A") })
      )
      expect(asked[0]?.form.get("classes")).toBe("x,y")
    })
  )

  it.scopedLive("are over when it says so, though it holds the connection", () =>
    Effect.gen(function* () {
      const { port } = yield* scripted((response) =>
        ndjson(response, runEvent(["A", "B"]), endEvent("A"), done)
      )
      const events = yield* Effect.provide(running(["A", "B"]), relayAbove({ port, tree: behind("A", "B") }))
      expect(endOf(events, "A")).toMatchObject({ code: 0 })
      expect(endOf(events, "B")).toMatchObject({
        code: null,
        error: { _tag: "UpstreamFatal", message: "sub-relay relay: did not report this node" }
      })
    })
  )

  it.scopedLive("are not asked of a host whose name can't be one", () =>
    Effect.gen(function* () {
      const { connections, port } = yield* scripted(() => {})
      for (const hostname of ["-127.0.0.1", "127.0.0.1/x", "a@127.0.0.1", ""]) {
        const tree = { ...behind("A"), relay: { hostname } }
        const events = yield* Effect.provide(running(["A"]), relayAbove({ port, tree }))
        expect(endOf(events, "A")).toMatchObject({ error: { _tag: "UpstreamFatal" } })
      }
      expect(connections()).toBe(0)
    })
  )

  it.scopedLive("are asked of it in several calls where one form would be too long", () =>
    Effect.gen(function* () {
      const { asked, port } = yield* scripted((response, { form }) => {
        const nodes = form.get("nodes")?.split(",") ?? []
        ndjson(response, runEvent(nodes), ...nodes.map((node) => endEvent(node)), done)
        response.end()
      })
      const ids = Array.from({ length: 20_000 }, (_, i) => `node-${i}-`.padEnd(80, "x"))
      const events = yield* Effect.provide(running(ids), relayAbove({ port, tree: behind(...ids) }))
      expect(asked.length).toBe(2)
      for (const { length } of asked) expect(length).toBeLessThanOrEqual(1024 * 1024)
      expect(events.at(-1)).toMatchObject({ event: "done", ok: 20_000, failed: 0 })
    })
  )
})

describe("an older relay", () => {
  const older = (response: ServerResponse) => {
    response.writeHead(200, { "content-type": "text/plain" })
    response.write("start of\xe9 ", "latin1")
    response.end("a line\nno newline")
  }

  it.scopedLive("has what it prints passed on as its own lines, and its nodes are unreported", () =>
    Effect.gen(function* () {
      const { port } = yield* scripted(older)
      const layer = relayAbove({ port, tree: behind("A", "B") })
      yield* Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(order(["A", "B"]))
        const events = parse(yield* bytesOf(run, "ndjson"))
        expect(endsOf(events)).toMatchObject([
          { node: "A", code: null, unreported: true },
          { node: "B", code: null, unreported: true }
        ])
        expect(events.at(-1)).toMatchObject({ event: "done", ok: 0, failed: 0 })
        const printed = Buffer.from("start of\xe9 a line\nno newline", "latin1")
        for (const inOrder of ["live", "blocks"] as const) {
          expect(yield* bytesOf(run, "raw", inOrder)).toEqual(printed)
          const text = (yield* bytesOf(run, "text", inOrder)).toString("latin1")
          const lines = text.split("\n").filter((line) => !line.startsWith("{"))
          expect(lines).toEqual(["relay:start of\xe9 a line", "relay:no newline", ""])
        }
      }).pipe(Effect.provide(layer))
    })
  )

  it.scopedLive("that is itself run keeps its own output apart", () =>
    Effect.gen(function* () {
      const { port } = yield* scripted(older)
      const agent: AgentProcessService["run"] = (_, output) =>
        Effect.sync(() => {
          output.write("stdout", Buffer.from("its own agent\n"), () => {})
          return { code: 0, signal: null }
        })
      yield* Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(order(["relay", "A"]))
        const text = (yield* bytesOf(run, "text", "blocks")).toString("latin1")
        const lines = text.split("\n").filter((line) => !line.startsWith("{"))
        expect([...lines].sort()).toEqual([
          "",
          "relay:its own agent",
          "relay:no newline",
          "relay:start of\xe9 a line"
        ])
      }).pipe(Effect.provide(relayAbove({ port, tree: behind("A"), agent })))
    })
  )

  it.scopedLive("that is cut short has said what it said, and its nodes have failed", () =>
    Effect.gen(function* () {
      const { port } = yield* scripted((response) => {
        response.writeHead(200, { "content-type": "text/plain" })
        response.write("half a li", () => setImmediate(() => response.destroy()))
      })
      yield* Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(order(["A"]))
        expect(endsOf(parse(yield* bytesOf(run, "ndjson")))).toMatchObject([
          { node: "A", code: null, error: { _tag: "UpstreamFatal" } }
        ])
        expect((yield* bytesOf(run, "raw")).toString()).toBe("half a li")
      }).pipe(Effect.provide(relayAbove({ port, tree: behind("A") })))
    })
  )
})

describe("a sub-relay that can't be reached", () => {
  const failing = (reason: PeerUnreachable["reason"]) => {
    let tries = 0
    const layer = Layer.succeed(PeerClient, {
      connect: () =>
        Effect.suspend(() => {
          tries++
          return new PeerUnreachable({ reason, message: "told so" })
        }),
      pool: () => Effect.die("not asked for")
    })
    return { layer, tries: () => tries }
  }

  it.scoped("is tried for three times, a quarter and a half of a second apart", () =>
    Effect.gen(function* () {
      const { layer, tries } = failing("connection")
      const events = yield* Effect.fork(
        Effect.provide(running(["A"]), relayAbove({ port: 1, tree: behind("A"), peerClient: layer }))
      )
      const triesAre = (count: number) =>
        Effect.gen(function* () {
          while (tries() < count) yield* turn
          for (let i = 0; i < 10; i++) yield* turn
          expect(tries()).toBe(count)
        })
      yield* triesAre(1)
      yield* TestClock.adjust("249 millis")
      yield* triesAre(1)
      yield* TestClock.adjust("1 millis")
      yield* triesAre(2)
      yield* TestClock.adjust("499 millis")
      yield* triesAre(2)
      yield* TestClock.adjust("1 millis")
      expect(endOf(yield* Fiber.join(events), "A")).toMatchObject({
        error: { _tag: "UpstreamFatal", message: "sub-relay relay: told so" }
      })
      expect(tries()).toBe(3)
    })
  )

  it.scoped("is not waited for longer than 10 s in all", () =>
    Effect.gen(function* () {
      let connecting = false
      const layer = Layer.succeed(PeerClient, {
        connect: () =>
          Effect.suspend(() => {
            connecting = true
            return Effect.never
          }),
        pool: () => Effect.die("not asked for")
      })
      const events = yield* Effect.fork(
        Effect.provide(running(["A"]), relayAbove({ port: 1, tree: behind("A"), peerClient: layer }))
      )
      while (!connecting) yield* turn
      yield* TestClock.adjust("9999 millis")
      for (let i = 0; i < 50; i++) yield* turn
      expect(Option.isNone(yield* Fiber.poll(events))).toBe(true)
      yield* TestClock.adjust("1 millis")
      expect(endOf(yield* Fiber.join(events), "A")).toMatchObject({
        error: { message: "sub-relay relay: 127.0.0.1:1: no connection in 10s" }
      })
    })
  )

  it.scopedLive("is not tried for again when it has the wrong certificate, and gets nothing", () =>
    Effect.gen(function* () {
      const { asked, connections, port } = yield* scripted(() => {})
      const events = yield* Effect.provide(
        running(["A"]),
        relayAbove({ port, tree: behind("A"), pinned: other })
      )
      expect(endOf(events, "A")).toMatchObject({ error: { _tag: "UpstreamFatal" } })
      expect(asked).toEqual([])
      expect(connections()).toBe(1)
    })
  )
})
