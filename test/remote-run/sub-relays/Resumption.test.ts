import { describe, expect, it } from "@effect/vitest"
import { Clock, Context, Effect, FastCheck, Fiber, Layer, Option, TestClock, TestContext } from "effect"
import { type Peer, PeerClient } from "../../../src/peers/PeerClient.ts"
import * as PeerConnections from "../../../src/peers/PeerConnections.ts"
import { unreachable } from "../../../src/peers/PeerUnreachable.ts"
import type { AgentProcessService } from "../../../src/remote-run/agents/AgentProcess.ts"
import { RemoteRun } from "../../../src/remote-run/RemoteRun.ts"
import { resuming } from "../../../src/remote-run/sub-relays/Resumption.ts"
import {
  type Asked,
  done,
  type Event,
  endEvent,
  gone,
  ndjson,
  runEvent,
  runId,
  type Script,
  scripted,
  startEvent
} from "../../../src/testing/ScriptedSubRelay.ts"
import type { Tree } from "../../../src/testing/Topology.ts"
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
import { type Cut, servesRuns } from "../../support/ServedRuns.ts"
import { eventually } from "../../support/Until.ts"

const output = (node: string, line: string): Event => ({ event: "output", node, stream: "stdout", line })

/** Says this, and breaks off in the middle of what comes next. */
const cutAfter =
  (...events: ReadonlyArray<Event | string>): Script =>
  (response) => {
    ndjson(response, ...events)
    response.write('{"event":"end","node":"A","code":0', () => response.socket?.end())
  }

const saying =
  (...events: ReadonlyArray<Event>): Script =>
  (response) => {
    ndjson(response, ...events)
    response.end()
  }

/** One script after the other; the last again and again. */
const inTurn = (...scripts: ReadonlyArray<Script>): Script => {
  let turns = 0
  return (response, asked) => scripts[Math.min(turns++, scripts.length - 1)]?.(response, asked)
}

const pathsOf = (asked: ReadonlyArray<Asked>) => asked.map(({ method, path }) => `${method} ${path}`)
const order1 = "POST /rudder/relay-api/remote-run/nodes"
const outputFrom = (from: number) =>
  `GET /rudder/relay-api/remote-run/runs/${runId}/output?format=ndjson&from=${from}`

it.effect("tries are made after a quarter of a second, twice that, and so on, but every 5 s at least", () =>
  Effect.gen(function* () {
    const tries: Array<number> = []
    const trying = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      tries.push(now)
      return Effect.fail("again")
    })
    const retrying = yield* Effect.fork(Effect.retry(trying, resuming))
    yield* TestClock.adjust("0 millis")
    yield* TestClock.adjust("22750 millis")
    expect(tries).toEqual([0, 250, 750, 1750, 3750, 7750, 12_750, 17_750, 22_750])
    yield* Fiber.interrupt(retrying)
  })
)

describe("a stream that is cut", () => {
  it.scopedLive("is taken up again behind the last whole event, and the order is sent once", () =>
    Effect.gen(function* () {
      const { asked, port } = yield* scripted(
        cutAfter(runEvent(["A", "B"]), startEvent("A"), output("A", "one"), '{"event":"ping"}'),
        inTurn(
          cutAfter(output("A", "two"), { ...output("A", "thr"), partial: true }),
          cutAfter(),
          saying(output("A", "ee"), endEvent("A"), startEvent("B"), endEvent("B", { code: 3 }), done)
        )
      )
      const events = yield* Effect.provide(running(["A", "B"]), relayAbove({ port, tree: behind("A", "B") }))
      expect(events.slice(1, -1)).toEqual([
        startEvent("A"),
        output("A", "one"),
        output("A", "two"),
        output("A", "three"),
        endEvent("A"),
        startEvent("B"),
        endEvent("B", { code: 3 })
      ])
      expect(pathsOf(asked)).toEqual([order1, outputFrom(3), outputFrom(5), outputFrom(5)])
    })
  )

  it.scopedLive("is taken up again by a relay that begins at the start, and nothing is there twice", () =>
    Effect.gen(function* () {
      const all = [
        runEvent(["A"]),
        startEvent("A"),
        output("A", "one"),
        output("A", "two"),
        endEvent("A"),
        done
      ]
      const { asked, port } = yield* scripted(
        cutAfter(...all.slice(0, 3)),
        inTurn(cutAfter(...all.slice(0, 2)), cutAfter(...all.slice(0, 4)), saying(...all))
      )
      const events = yield* Effect.provide(running(["A"]), relayAbove({ port, tree: behind("A") }))
      expect(events.slice(1, -1)).toEqual(all.slice(1, -1))
      expect(pathsOf(asked)).toEqual([order1, outputFrom(3), outputFrom(3), outputFrom(4)])
    })
  )

  it.scopedLive("of a sub-relay that crashed and is there again has the ends that it says", () =>
    Effect.gen(function* () {
      const interrupted = {
        code: null,
        error: { _tag: "AgentError", message: "the relay stopped abruptly during the run" },
        duration: 0
      }
      const { port } = yield* scripted(
        cutAfter(runEvent(["A", "B"]), startEvent("A"), endEvent("A"), startEvent("B")),
        inTurn(
          (response) => void response.writeHead(503).end("starting"),
          (response) => void response.destroy(),
          saying(endEvent("B", interrupted), { ...done, interrupted: true })
        )
      )
      const events = yield* Effect.provide(running(["A", "B"]), relayAbove({ port, tree: behind("A", "B") }))
      expect(endOf(events, "A")).toMatchObject({ code: 0 })
      expect(endOf(events, "B")).toMatchObject(interrupted)
      expect(endsOf(events).length).toBe(2)
    })
  )

  it.scopedLive.each([
    ["has no such route, or no such run", gone, "answered 404"],
    ["refuses", ((response) => void response.writeHead(403).end("no")) satisfies Script, "answered 403: no"],
    [
      "answers something else",
      ((response) => void response.writeHead(200, { "content-type": "text/html" }).end("x")) satisfies Script,
      "answered 200: x"
    ]
  ] as const)("of a sub-relay that %s has failed", ([, again, says]) =>
    Effect.gen(function* () {
      const { asked, port } = yield* scripted(
        cutAfter(runEvent(["A", "B"]), endEvent("A"), startEvent("B")),
        again
      )
      const events = yield* Effect.provide(running(["A", "B"]), relayAbove({ port, tree: behind("A", "B") }))
      expect(endOf(events, "A")).toMatchObject({ code: 0 })
      expect(endOf(events, "B")).toMatchObject({
        code: null,
        error: { _tag: "UpstreamFatal", message: expect.stringContaining(says) }
      })
      expect(pathsOf(asked)).toEqual([order1, outputFrom(3)])
    })
  )

  it.scopedLive("before it is said which run it is has failed at once", () =>
    Effect.gen(function* () {
      const { asked, port } = yield* scripted(cutAfter('{"event":"run","id":"0190'))
      const events = yield* Effect.provide(running(["A"]), relayAbove({ port, tree: behind("A") }))
      expect(endOf(events, "A")).toMatchObject({ error: { _tag: "UpstreamFatal" } })
      expect(pathsOf(asked)).toEqual([order1])
    })
  )

  it.scopedLive("is not taken up again where remote_run.reconnect is nothing", () =>
    Effect.gen(function* () {
      const { asked, port } = yield* scripted(cutAfter(runEvent(["A"])), saying(endEvent("A"), done))
      const events = yield* Effect.provide(
        running(["A"]),
        relayAbove({ port, tree: behind("A"), reconnect: 0 })
      )
      expect(endOf(events, "A")).toMatchObject({ error: { _tag: "UpstreamFatal" } })
      expect(pathsOf(asked)).toEqual([order1])
    })
  )
})

/** Connections to peers, of which there are none while the line is down; and when they were tried for. */
const line = () => {
  const state = { isDown: false, tries: [] as Array<number> }
  const layer = Layer.effect(
    PeerClient,
    Effect.map(PeerClient, (client) => ({
      ...client,
      connect: (peer: Peer) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          state.tries.push(now)
          return state.isDown ? unreachable("connection", "nobody is there") : client.connect(peer)
        })
    }))
  ).pipe(Layer.provide(PeerConnections.layer))
  return { state, layer }
}

const turns = Effect.forEach(Array.from({ length: 50 }), () => turn, { discard: true })

describe("a stream that can't be taken up again", () => {
  /** The run of A, whose stream broke off after its start, with the line down for good. */
  const lostRun = Effect.gen(function* () {
    const { state, layer } = line()
    const { asked, port } = yield* scripted((response, one) => {
      state.isDown = true
      cutAfter(runEvent(["A"]), startEvent("A"))(response, one)
    })
    const context = yield* Layer.build(relayAbove({ port, tree: behind("A"), peerClient: layer }))
    const remoteRun = Context.get(context, RemoteRun)
    const run = yield* remoteRun.start(order(["A"]))
    const reading = yield* Effect.fork(bytesOf(run, "ndjson"))
    yield* eventually(() => state.tries.length > 1)
    yield* turns
    return { state, asked, remoteRun, run, reading }
  })

  it.scoped("is given up remote_run.reconnect after the cut, and not before", () =>
    Effect.gen(function* () {
      const { state, asked, reading } = yield* lostRun
      yield* TestClock.adjust("59999 millis")
      yield* turns
      expect(Option.isNone(yield* Fiber.poll(reading))).toBe(true)
      yield* TestClock.adjust("1 millis")
      const message = endOf(parse(yield* Fiber.join(reading)), "A")
      expect(message).toMatchObject({ code: null, error: { _tag: "UpstreamFatal" } })
      expect(JSON.stringify(message)).toMatch(
        /sub-relay relay: .*the answer was cut short, and could not be taken up again in 1m: nobody is there"/
      )
      expect(pathsOf(asked)).toEqual([order1])
      expect(state.tries.slice(0, 8)).toEqual([0, 0, 250, 750, 1750, 3750, 7750, 12_750])
    })
  )

  it.scoped("is given up likewise where there are streams that say nothing new", () =>
    Effect.gen(function* () {
      const { asked, port } = yield* scripted(
        cutAfter(runEvent(["A"]), startEvent("A")),
        // What it says it has said before.
        cutAfter(runEvent(["A"]), startEvent("A"))
      )
      const context = yield* Layer.build(relayAbove({ port, tree: behind("A") }))
      const remoteRun = Context.get(context, RemoteRun)
      const reading = yield* Effect.fork(bytesOf(yield* remoteRun.start(order(["A"])), "ndjson"))
      yield* eventually(() => asked.length > 1)
      let seconds = 0
      while (Option.isNone(yield* Fiber.poll(reading))) {
        yield* turns
        yield* TestClock.adjust("250 millis")
        seconds += 0.25
      }
      expect(seconds).toBeGreaterThanOrEqual(60)
      // With back-off all the same.
      expect(asked.length).toBeLessThan(25)
      expect(endOf(parse(yield* Fiber.join(reading)), "A")).toMatchObject({
        error: { _tag: "UpstreamFatal" }
      })
    })
  )

  it.scoped("does not hold up a cancel, which is passed on", () =>
    Effect.gen(function* () {
      const { state, asked, remoteRun, run, reading } = yield* lostRun
      state.isDown = false
      yield* remoteRun.cancel(run.id)
      expect(endOf(parse(yield* Fiber.join(reading)), "A")).toMatchObject({ code: null, cancelled: true })
      yield* eventually(() => asked.length > 1)
      expect(pathsOf(asked)).toEqual([order1, `DELETE /rudder/relay-api/remote-run/runs/${runId}`])
    })
  )

  it.scoped("is no way out of a cancel: the sub-relay is told once the line is back", () =>
    Effect.gen(function* () {
      const { state, asked, remoteRun, run, reading } = yield* lostRun
      yield* remoteRun.cancel(run.id)
      expect(endOf(parse(yield* Fiber.join(reading)), "A")).toMatchObject({ code: null, cancelled: true })
      for (let i = 0; i < 40; i++) {
        yield* turns
        yield* TestClock.adjust("250 millis")
      }
      expect(pathsOf(asked)).toEqual([order1])
      state.isDown = false
      yield* TestClock.adjust("5 seconds")
      yield* eventually(() => asked.length > 1)
      expect(pathsOf(asked)).toEqual([order1, `DELETE /rudder/relay-api/remote-run/runs/${runId}`])
    })
  )

  it.scoped("does not hold up a stop", () =>
    Effect.gen(function* () {
      const { remoteRun, reading } = yield* lostRun
      yield* remoteRun.cancelAll
      expect(endOf(parse(yield* Fiber.join(reading)), "A")).toMatchObject({ code: null, cancelled: true })
      // The sub-relay is told for as long as the stream would have been taken up again.
      yield* TestClock.adjust("60 seconds")
    })
  )
})

describe("over three levels of relays whose lines are cut at any byte", () => {
  const Text = FastCheck.oneof(
    FastCheck.constantFrom("a line\n", "part ", "\n", "é\n", "no newline"),
    FastCheck.uint8Array({ maxLength: 10 }).map((bytes) => Buffer.from(bytes)),
    FastCheck.integer({ min: 65_530, max: 140_000 }).map((length) => "x".repeat(length))
  ).map((text) => Buffer.from(text))
  const Writes = FastCheck.array(
    FastCheck.record({ stream: FastCheck.constantFrom("stdout" as const, "stderr" as const), bytes: Text }),
    { maxLength: 6 }
  )
  const Cuts = FastCheck.array(
    FastCheck.record({
      how: FastCheck.oneof(
        { weight: 8, arbitrary: FastCheck.constantFrom<Cut["how"]>("fin", "destroy", "busy", "drop") },
        { weight: 1, arbitrary: FastCheck.constant<Cut["how"]>("stall") }
      ),
      after: FastCheck.oneof(FastCheck.nat(300), FastCheck.nat(200_000))
    }),
    { maxLength: 8 }
  )
  const scenario = FastCheck.record({
    writes: FastCheck.array(Writes, { minLength: 1, maxLength: 3 }),
    upper: Cuts,
    lower: Cuts
  })

  const printedBy = (events: ReadonlyArray<Event>, node: string, stream: string) =>
    Buffer.concat(
      events
        .filter((one) => one.event === "output" && one.node === node && one.stream === stream)
        .flatMap((one) => [
          one.base64 === undefined
            ? Buffer.from(String(one.line))
            : Buffer.from(String(one.base64), "base64"),
          Buffer.from(one.partial === true || one.unterminated === true ? "" : "\n")
        ])
    )

  const check = (
    writes: ReadonlyArray<ReadonlyArray<{ readonly stream: "stdout" | "stderr"; readonly bytes: Buffer }>>,
    upper: ReadonlyArray<Cut>,
    lower: ReadonlyArray<Cut>
  ) =>
    Effect.gen(function* () {
      const ids = writes.map((_, i) => `n${i}`)
      const agent: AgentProcessService["run"] = ({ hostname }, sink) =>
        Effect.gen(function* () {
          for (const { stream, bytes } of writes[Number(hostname[1])] ?? []) {
            sink.write(stream, bytes, () => {})
            yield* Effect.sleep("1 second")
          }
          return { code: Number(hostname[1]), signal: null }
        })
      const own: Tree = Object.fromEntries(ids.map((id) => [id, { hostname: `${id}.example.com` }]))
      const reconnect = "1 day"
      const low = yield* servesRuns(relayAbove({ port: 1, tree: own, agent }), lower)
      const mid = yield* servesRuns(relayAbove({ port: low.port, tree: behind(...ids), reconnect }), upper)
      const top = yield* Layer.build(relayAbove({ port: mid.port, tree: behind(...ids), reconnect }))
      const reading = yield* Effect.fork(
        bytesOf(yield* Context.get(top, RemoteRun).start(order(ids)), "ndjson")
      )
      // Connecting and the order have their bounds, by the same clock.
      yield* eventually(() => low.asked.length > 0)
      yield* turns
      while (Option.isNone(yield* Fiber.poll(reading))) {
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 2)))
        yield* TestClock.adjust("250 millis")
      }
      const events = parse(yield* Fiber.join(reading)).filter(({ event }) => event !== "ping")
      expect(
        endsOf(events)
          .map(({ node, code }) => `${node} ${code}`)
          .sort()
      ).toEqual(ids.map((id, code) => `${id} ${code}`))
      for (const [i, id] of ids.entries()) {
        expect(events.filter(({ event, node }) => event === "start" && node === id).length).toBe(1)
        for (const stream of ["stdout", "stderr"] as const) {
          const printed = (writes[i] ?? []).filter((one) => one.stream === stream).map(({ bytes }) => bytes)
          expect(printedBy(events, id, stream).equals(Buffer.concat(printed))).toBe(true)
        }
      }
      for (const { asked } of [low, mid])
        expect(asked.filter(({ method }) => method === "POST").length).toBe(1)
    }).pipe(Effect.scoped, Effect.provide(TestContext.TestContext))

  it(
    "every line is there once, and every node has one end",
    () =>
      FastCheck.assert(
        FastCheck.asyncProperty(scenario, ({ writes, upper, lower }) =>
          Effect.runPromise(check(writes, upper, lower))
        ),
        { numRuns: 8, endOnFailure: true }
      ),
    180_000
  )
})
