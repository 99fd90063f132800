import type { ServerResponse } from "node:http"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option } from "effect"
import { makeSettings } from "../../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../../src/config/RelayConfig.ts"
import { NodeId } from "../../../src/NodeId.ts"
import { PeerClient } from "../../../src/peers/PeerClient.ts"
import * as PeerConnections from "../../../src/peers/PeerConnections.ts"
import type { AgentProcessService } from "../../../src/remote-run/agents/AgentProcess.ts"
import { ClassName } from "../../../src/remote-run/ClassName.ts"
import { RemoteRun } from "../../../src/remote-run/RemoteRun.ts"
import * as SubRelayCalls from "../../../src/remote-run/sub-relays/SubRelayCalls.ts"
import { SubRelays } from "../../../src/remote-run/sub-relays/SubRelays.ts"
import {
  type Asked,
  certificates,
  done,
  endEvent,
  ndjson,
  runEvent,
  runId,
  scripted,
  startEvent
} from "../../../src/testing/ScriptedSubRelay.ts"
import { nodesOf } from "../../../src/testing/Topology.ts"
import {
  behind,
  bytesOf,
  endOf,
  endsOf,
  order,
  parse,
  relayAbove,
  running,
  turn
} from "../../support/ScriptedSubRelay.ts"
import { eventually, holds } from "../../support/Until.ts"

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
        yield* holds(
          "B has ended",
          Effect.map(run.summary, ({ ok }) => ok > 0)
        )
        yield* remoteRun.cancel(run.id)
        const events = parse(yield* bytesOf(run, "ndjson"))
        expect(endOf(events, "A")).toMatchObject({ code: null, cancelled: true })
        expect(endOf(events, "B")).toMatchObject({ code: 0 })
        yield* eventually(() => deleted(asked).length > 0)
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
        yield* eventually(() => answer !== undefined)
        yield* remoteRun.cancel(run.id)
        const events = parse(yield* bytesOf(run, "ndjson"))
        expect(endOf(events, "A")).toMatchObject({ cancelled: true })
        if (answer !== undefined) ndjson(answer, runEvent(["A"]), startEvent("A"), endEvent("A"))
        yield* eventually(() => deleted(asked).length > 0)
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
        yield* holds(
          "the node runs",
          Effect.map(run.summary, ({ running }) => running > 0)
        )
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
        yield* eventually(() => connecting)
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
      Layer.provide([PeerConnections.layer, certificates()]),
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
      yield* eventually(() => !accepting)
      // Both sides' buffers are full when nothing more is sent, however often the event loop comes round.
      for (let before = -1, rounds = 0; rounds < 100; rounds++) {
        if (before !== sent) rounds = 0
        before = sent
        yield* turn
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
