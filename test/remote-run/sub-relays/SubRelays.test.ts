import type { IncomingMessage, ServerResponse } from "node:http"
import * as Https from "node:https"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, Fiber, Layer, Option, Runtime, Stream, TestClock, TestContext } from "effect"
import { makeSettings, RelayConfig } from "../../../src/config/RelayConfig.ts"
import { NodeId } from "../../../src/NodeId.ts"
import { PeerClient } from "../../../src/peers/PeerClient.ts"
import * as PeerConnections from "../../../src/peers/PeerConnections.ts"
import { PeerUnreachable } from "../../../src/peers/PeerUnreachable.ts"
import { AgentProcess, type AgentProcessService } from "../../../src/remote-run/agents/AgentProcess.ts"
import { ClassName } from "../../../src/remote-run/ClassName.ts"
import type { RunFormat } from "../../../src/remote-run/journal/RunFormat.ts"
import { RunHistory } from "../../../src/remote-run/journal/RunHistory.ts"
import { RemoteRun, type RunOrder } from "../../../src/remote-run/RemoteRun.ts"
import { RunId } from "../../../src/remote-run/RunId.ts"
import * as SubRelayCalls from "../../../src/remote-run/sub-relays/SubRelayCalls.ts"
import { SubRelays } from "../../../src/remote-run/sub-relays/SubRelays.ts"
import { Certificates, type CertificatesService } from "../../../src/topology/Certificates.ts"
import { alone } from "../../support/Leases.ts"
import { selfSigned } from "../../support/SelfSigned.ts"
import { nodesListLayer, nodesOf, type Tree } from "../../support/Topology.ts"

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

/** The one certificate that is known. */
const known = (pinned: ReturnType<typeof selfSigned>): CertificatesService => ({
  forNode: (id) => Effect.succeed(id === "relay" ? [pinned.x509] : []),
  reload: Effect.void
})

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
        Layer.provide(SubRelayCalls.layer),
        Layer.provideMerge(RunHistory.layer),
        Layer.provide([
          alone(),
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

/** Waits for something to happen in real time, while the test's clock stands still. */
const until = (condition: () => boolean) =>
  Effect.gen(function* () {
    while (!condition()) yield* turn
  })

describe("a sub-relay that falls silent", () => {
  const silences: ReadonlyArray<{ readonly what: string; readonly script: Script }> = [
    { what: "before it answers", script: () => {} },
    { what: "in the middle", script: (response) => ndjson(response, runEvent(["A"]), startEvent("A")) }
  ]

  it.scoped.each(silences)("$what is given up after 60 s", ({ script }) =>
    Effect.gen(function* () {
      const { asked, port } = yield* scripted(script)
      yield* Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(order(["A"]))
        const reading = yield* Effect.fork(bytesOf(run, "ndjson"))
        yield* until(() => asked.length > 0)
        // The reader asks again and again; time passes once all that was said is heard.
        for (let i = 0; i < 100; i++) yield* turn
        yield* TestClock.adjust("59 seconds")
        for (let i = 0; i < 20; i++) yield* turn
        expect(Option.isNone(yield* Fiber.poll(reading))).toBe(true)
        yield* TestClock.adjust("1 seconds")
        expect(endOf(parse(yield* Fiber.join(reading)), "A")).toMatchObject({
          code: null,
          error: { _tag: "UpstreamFatal", message: expect.stringContaining("silent for 1m") }
        })
      }).pipe(Effect.provide(relayAbove({ port, tree: behind("A") })))
    })
  )

  it.scoped("but says that nothing happens is heard on", () =>
    Effect.gen(function* () {
      let answer: ServerResponse | undefined
      const { port } = yield* scripted((response) => {
        answer = response
        ndjson(response, runEvent(["A"]), startEvent("A"))
      })
      yield* Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(order(["A"]))
        const reading = yield* Effect.fork(bytesOf(run, "ndjson"))
        yield* until(() => answer !== undefined)
        while ((yield* run.summary).running === 0) yield* turn
        for (let i = 0; i < 20; i++) {
          yield* TestClock.adjust("50 seconds")
          yield* Effect.promise(
            () => new Promise<void>((resolve) => answer?.write('{"event":"ping"}\n', () => resolve()))
          )
          for (let j = 0; j < 50; j++) yield* turn
        }
        if (answer !== undefined) ndjson(answer, endEvent("A"), done)
        expect(endOf(parse(yield* Fiber.join(reading)), "A")).toMatchObject({ code: 0 })
      }).pipe(Effect.provide(relayAbove({ port, tree: behind("A") })))
    })
  )
})

describe("a cancel", () => {
  const deleted = (asked: ReadonlyArray<Asked>) =>
    asked.filter(({ method }) => method === "DELETE").map(({ path }) => path)
  const path = `/rudder/relay-api/remote-run/runs/${runId}`

  it.scopedLive("is passed down, and the nodes end without waiting for it", () =>
    Effect.gen(function* () {
      const { asked, port } = yield* scripted((response) =>
        ndjson(response, runEvent(["A", "B"]), startEvent("A"), endEvent("B"))
      )
      yield* Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(order(["A", "B"]))
        while ((yield* run.summary).ok === 0) yield* turn
        yield* remoteRun.cancel(run.id)
        const events = parse(yield* bytesOf(run, "ndjson"))
        expect(endOf(events, "A")).toMatchObject({ code: null, cancelled: true })
        expect(endOf(events, "B")).toMatchObject({ code: 0 })
        yield* until(() => deleted(asked).length > 0)
      }).pipe(Effect.provide(relayAbove({ port, tree: behind("A", "B") })))
      expect(deleted(asked)).toEqual([path])
    })
  )

  it.scopedLive("that comes before the sub-relay has named its run waits for the name", () =>
    Effect.gen(function* () {
      let answer: ServerResponse | undefined
      const { asked, port } = yield* scripted((response) => {
        answer = response
      })
      yield* Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(order(["A"]))
        yield* until(() => answer !== undefined)
        yield* remoteRun.cancel(run.id)
        const events = parse(yield* bytesOf(run, "ndjson"))
        expect(endOf(events, "A")).toMatchObject({ cancelled: true })
        if (answer !== undefined) ndjson(answer, runEvent(["A"]), startEvent("A"), endEvent("A"))
        yield* until(() => deleted(asked).length > 0)
        // What came after the cancel is nobody's.
        expect(parse(yield* bytesOf(run, "ndjson"))).toEqual(events)
      }).pipe(Effect.provide(relayAbove({ port, tree: behind("A") })))
      expect(deleted(asked)).toEqual([path])
    })
  )

  it.scopedLive("arrives though the relay stops", () =>
    Effect.gen(function* () {
      const { asked, port } = yield* scripted((response) =>
        ndjson(response, runEvent(["A"]), startEvent("A"))
      )
      yield* Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(order(["A"]))
        while ((yield* run.summary).running === 0) yield* turn
      }).pipe(Effect.provide(relayAbove({ port, tree: behind("A") })))
      expect(deleted(asked)).toEqual([path])
    })
  )

  it.scoped("while there is no connection sends nothing", () =>
    Effect.gen(function* () {
      let connecting = false
      let interrupted = false
      const peerClient = Layer.succeed(PeerClient, {
        connect: () =>
          Effect.suspend(() => {
            connecting = true
            return Effect.onInterrupt(Effect.never, () =>
              Effect.sync(() => {
                interrupted = true
              })
            )
          }),
        pool: () => Effect.die("not asked for")
      })
      yield* Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(order(["A"]))
        yield* until(() => connecting)
        yield* remoteRun.cancel(run.id)
        expect(endOf(parse(yield* bytesOf(run, "ndjson")), "A")).toMatchObject({ cancelled: true })
        expect(interrupted).toBe(true)
      }).pipe(Effect.provide(relayAbove({ port: 1, tree: behind("A"), peerClient })))
    })
  )
})

it.scopedLive("a sub-relay is read no faster than what it says can be written", () =>
  Effect.gen(function* () {
    const line = { event: "output", node: "A", stream: "stdout", line: "x".repeat(1000) }
    const count = 40_000
    let sent = 0
    const { port } = yield* scripted((response) => {
      ndjson(response, runEvent(["A"]))
      const more = () => {
        while (sent < count) {
          sent++
          if (!response.write(`${JSON.stringify(line)}\n`)) return void response.once("drain", more)
        }
        ndjson(response, endEvent("A"), done)
      }
      more()
    })
    let accepting = true
    let received = 0
    const waiting: Array<() => void> = []
    const layer = SubRelayCalls.layer.pipe(
      Layer.provide([PeerConnections.layer, Layer.succeed(Certificates, known(certificate))]),
      Layer.provide(
        Layer.succeed(RelayConfig, makeSettings({ general: { nodeId: NodeId.make("me"), httpsPort: port } }))
      ),
      Layer.provide(NodeContext.layer)
    )
    yield* Effect.gen(function* () {
      const subRelays = yield* SubRelays
      const relay = Option.getOrThrow(nodesOf(behind("A")).get("relay"))
      let ended = false
      const running = yield* Effect.fork(
        subRelays.run({
          relay,
          nodes: ["A"],
          classes: [],
          output: () => ({ write: () => true, over: () => {} }),
          report: () => ({
            write: (_, bytes, resume) => {
              received += bytes.length
              if (received > 1_000_000 && waiting.length === 0) accepting = false
              if (!accepting) waiting.push(resume)
              return accepting
            },
            start: () => {},
            end: () => {
              ended = true
            }
          })
        })
      )
      yield* until(() => !accepting)
      let before = -1
      while (before !== sent) {
        before = sent
        yield* Effect.sleep("50 millis")
      }
      // Socket buffers of both sides, and what was on its way.
      expect(sent).toBeLessThan(count / 2)
      expect(received).toBeLessThan(1_200_000)
      accepting = true
      for (const resume of waiting) resume()
      yield* Fiber.join(running)
      expect(received).toBe(count * 1001)
      expect(ended).toBe(true)
    }).pipe(Effect.provide(layer))
  })
)

/** What a scripted sub-relay says of one node. */
const Saying = FastCheck.constantFrom<Saying>(
  "start",
  "output",
  "partial",
  "end",
  "failed end",
  "bad end",
  "bad output",
  "unknown",
  "nothing"
)
type Saying =
  | "start"
  | "output"
  | "partial"
  | "end"
  | "failed end"
  | "bad end"
  | "bad output"
  | "unknown"
  | "nothing"

const say = (what: Saying, node: string): Event | string => {
  switch (what) {
    case "start":
      return startEvent(node)
    case "output":
      return { event: "output", node, stream: "stdout", line: "hello" }
    case "partial":
      return { event: "output", node, stream: "stderr", line: "hel", partial: true }
    case "end":
      return endEvent(node)
    case "failed end":
      return endEvent(node, { code: 3 })
    case "bad end":
      return { event: "end", node, code: "0" }
    case "bad output":
      return { event: "output", node, stream: "stdlog", line: 3 }
    case "unknown":
      return runEvent([], [node])
    case "nothing":
      return "[null"
  }
}

/** How the conversation ends, or does not get that far. */
const Close = FastCheck.constantFrom(
  "done",
  "done and lies on",
  "no done",
  "cut",
  "stall",
  "302",
  "403",
  "500",
  "text",
  "text cut",
  "drop",
  "nonsense",
  "endless line"
)

describe("whatever a sub-relay does", () => {
  const scenario = FastCheck.record({
    sayings: FastCheck.array(FastCheck.record({ what: Saying, whom: FastCheck.nat(7) }), { maxLength: 30 }),
    close: Close,
    cancelAfter: FastCheck.option(FastCheck.nat(30), { nil: undefined, freq: 4 }),
    pieces: FastCheck.array(FastCheck.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 5 })
  })
  /** Asked for; what is said of `strange0` and so on is not this run's business. */
  const nodes = ["n0", "n1", "n2", "n3", "n4"]
  const nameOf = (whom: number) => nodes[whom] ?? `strange${whom}`

  it(
    "every node has exactly one end, and it is the first that was said where all was said",
    () =>
      FastCheck.assert(
        FastCheck.asyncProperty(scenario, ({ sayings, close, cancelAfter, pieces }) => {
          const lines = sayings.map(({ what, whom }) => say(what, nameOf(whom)))
          let quiet = false
          const script: Script = (response) => {
            const status = Number(close)
            if (close === "drop") return void response.destroy()
            if (close === "nonsense") return void response.socket?.end("no http\n\n")
            if (status > 0) return void response.writeHead(status, { location: "/" }).end("no")
            const type = close.startsWith("text") ? "text/plain" : "application/x-ndjson"
            response.writeHead(200, { "content-type": type })
            const said = [runEvent(nodes), ...lines, ...(close.startsWith("done") ? [done] : [])]
            const more = close === "done and lies on" ? [endEvent("n0"), startEvent("n1"), done] : []
            const text = [...said, ...more]
              .map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`)
              .join("")
            const bytes = Buffer.from(close === "endless line" ? text + "x".repeat(5_000_000) : text)
            for (let at = 0, i = 0; at < bytes.length; i++) {
              const length = (pieces[i % pieces.length] ?? 1) * (close === "endless line" ? 10_000 : 1)
              response.write(bytes.subarray(at, at + length))
              at += length
            }
            if (close === "cut" || close === "text cut") response.write("", () => response.destroy())
            else if (close === "stall") quiet = true
            else response.end()
          }
          const expected = new Map<string, unknown>()
          for (const { what, whom } of sayings) {
            const node = nameOf(whom)
            if (expected.has(node)) continue
            if (what === "end") expected.set(node, 0)
            if (what === "failed end") expected.set(node, 3)
            if (what === "unknown") expected.set(node, "UnknownTarget")
          }
          const test = Effect.gen(function* () {
            const { port } = yield* scripted(script)
            const events = yield* Effect.gen(function* () {
              const remoteRun = yield* RemoteRun
              const run = yield* remoteRun.start(order(nodes))
              const reading = yield* Effect.fork(bytesOf(run, "ndjson"))
              for (let i = 0; i < (cancelAfter ?? 0); i++) yield* turn
              if (cancelAfter !== undefined) yield* remoteRun.cancel(run.id)
              while (Option.isNone(yield* Fiber.poll(reading))) {
                yield* turn
                if (quiet) yield* TestClock.adjust("1 seconds")
              }
              while ((yield* remoteRun.activity).runs > 0) yield* turn
              const events = parse(yield* Fiber.join(reading))
              const summary = yield* Effect.flatMap(remoteRun.find(run.id), (past) => past.summary)
              expect(summary).toMatchObject({ running: 0 })
              return events.filter(({ event }) => event !== "ping")
            }).pipe(Effect.provide(relayAbove({ port, tree: behind(...nodes) })))
            expect(
              endsOf(events)
                .map(({ node }) => node)
                .sort()
            ).toEqual(nodes)
            for (const node of nodes) {
              const own = events.filter((event) => event.node === node)
              expect(own.at(-1)?.event).toBe("end")
              expect(own.filter(({ event }) => event === "start").length).toBeLessThanOrEqual(1)
            }
            expect(events.some(({ node }) => String(node).startsWith("strange"))).toBe(false)
            if (!close.startsWith("done") || cancelAfter !== undefined) return
            for (const node of nodes) {
              const end = endOf(events, node)
              const error = end?.error
              const tag =
                typeof error === "object" && error !== null && "_tag" in error ? error._tag : undefined
              expect(tag ?? end?.code).toBe(expected.get(node) ?? "UpstreamFatal")
            }
          })
          return Effect.runPromise(test.pipe(Effect.scoped, Effect.provide(TestContext.TestContext)))
        }),
        { numRuns: 100, endOnFailure: true }
      ),
    120_000
  )
})

describe("bytes of agents", () => {
  /** Text, bytes that are none, long lines, and ends of lines anywhere. */
  const Bytes = FastCheck.oneof(
    FastCheck.string().map((text) => Buffer.from(text)),
    FastCheck.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    FastCheck.constantFrom("\n", "é\n", "\r\n", "\u0000", "\ud83d\ude00").map((text) => Buffer.from(text)),
    FastCheck.tuple(
      FastCheck.constantFrom("x", "é", "\u0001"),
      FastCheck.integer({ min: 60_000, max: 140_000 })
    ).map(([text, length]) => Buffer.from(text.repeat(length))),
    FastCheck.integer({ min: 65_530, max: 65_540 }).map((length) => Buffer.alloc(length, 0xff))
  )
  const Writes = FastCheck.array(FastCheck.record({ stderr: FastCheck.boolean(), bytes: Bytes }), {
    maxLength: 8
  })

  /** A relay that serves its runs as `RemoteRunHttp` does, for the one above it. */
  const serves = (layer: Layer.Layer<RemoteRun>) =>
    Effect.gen(function* () {
      const context = yield* Layer.build(layer)
      const runtime = yield* Effect.runtime<never>()
      return yield* scripted((response, { form }) => {
        response.writeHead(200, { "content-type": "application/x-ndjson" })
        const answer = Effect.gen(function* () {
          const remoteRun = yield* RemoteRun
          const run = yield* remoteRun.start(order(form.get("nodes")?.split(",") ?? []))
          const stream = run.read({ format: "ndjson", order: "live", after: 0 })
          yield* Stream.runForEach(stream, (bytes) => Effect.sync(() => void response.write(bytes)))
          response.end()
        })
        void Runtime.runPromise(runtime)(Effect.provide(answer, context))
      })
    })

  it(
    "are the same after two relays, and so are the ends",
    () =>
      FastCheck.assert(
        FastCheck.asyncProperty(FastCheck.array(Writes, { minLength: 1, maxLength: 3 }), (writes) => {
          const ids = writes.map((_, i) => `n${i}`)
          const agent: AgentProcessService["run"] = ({ hostname }, output) =>
            Effect.sync(() => {
              for (const { stderr, bytes } of writes[Number(hostname[1])] ?? [])
                output.write(stderr ? "stderr" : "stdout", bytes, () => {})
              return { code: Number(hostname[1]), signal: null }
            })
          const own: Tree = Object.fromEntries(ids.map((id) => [id, { hostname: `${id}.example.com` }]))
          const below: Tree = {
            relay: { hostname: "127.0.0.1" },
            ...Object.fromEntries(ids.map((id) => [id, { hostname: `${id}.example.com`, relays: ["relay"] }]))
          }
          const test = Effect.gen(function* () {
            const lowest = yield* Layer.memoize(relayAbove({ port: 1, tree: own, agent }))
            const low = yield* serves(lowest)
            const middle = yield* Layer.memoize(relayAbove({ port: low.port, tree: below }))
            const mid = yield* serves(middle)
            const top = yield* Layer.memoize(relayAbove({ port: mid.port, tree: below }))
            const ended = (layer: Layer.Layer<RemoteRun>) =>
              Effect.gen(function* () {
                const remoteRun = yield* RemoteRun
                const page = yield* remoteRun.list(1, Option.none())
                const run = yield* remoteRun.find(RunId.make(page.runs[0]?.id ?? ""))
                return endsOf(parse(yield* bytesOf(run, "ndjson"))).sort((a, b) =>
                  String(a.node).localeCompare(String(b.node))
                )
              }).pipe(Effect.provide(layer))
            for (const [i, id] of ids.entries()) {
              const raw = yield* Effect.gen(function* () {
                const remoteRun = yield* RemoteRun
                return yield* bytesOf(yield* remoteRun.start(order([id])), "raw")
              }).pipe(Effect.provide(top))
              const printed = (writes[i] ?? []).filter(({ stderr }) => !stderr).map(({ bytes }) => bytes)
              expect(raw.equals(Buffer.concat(printed))).toBe(true)
              expect(yield* ended(top)).toEqual(yield* ended(lowest))
            }
          })
          return Effect.runPromise(Effect.scoped(test))
        }),
        { numRuns: 15, endOnFailure: true }
      ),
    120_000
  )
})
