/** Runs under control, by the service: own agents and sub-relays by script, under the test's clock. */
import { describe, expect, it } from "@effect/vitest"
import { Clock, Effect, FastCheck, Fiber, Random, TestClock } from "effect"
import * as EventLoop from "../../src/EventLoop.ts"
import { NodeId } from "../../src/NodeId.ts"
import { everything } from "../../src/remote-run/journal/RunListing.ts"
import { RemoteRun, type RunOrder } from "../../src/remote-run/RemoteRun.ts"
import { RunId } from "../../src/remote-run/RunId.ts"
import {
  controlledRelay,
  numbered,
  orderOf,
  over,
  ownTree,
  type SaidEvent,
  said
} from "../support/ControlledRelay.ts"
import { ManualClock } from "../support/ManualClock.ts"
import { predict } from "../support/RunModel.ts"
import { queryOf, type Scenario, scenario, treeOf } from "../support/RunScenario.ts"

const endsOf = (events: ReadonlyArray<SaidEvent>) => events.filter(({ event }) => event === "end")
const namesOf = (events: ReadonlyArray<SaidEvent>) => events.map(({ node }) => node)
const skippedOf = (events: ReadonlyArray<SaidEvent>) =>
  namesOf(endsOf(events).filter(({ skipped }) => skipped === true))

const day = 86_400_000

/** Until what is under way has come to rest, but for what files take: nothing that a run does waits for those. */
const rest = Effect.repeatN(EventLoop.turn, 8)

/** The scenario, through the service, against the model. */
const holds = (drawn: Scenario) => {
  const clock = new ManualClock(0)
  const { nodes, control, permits } = drawn
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const { seen, layer } = controlledRelay({
    tree: treeOf(drawn),
    nodes: (id) => ({ lasts: byId.get(id)?.lasts ?? 0, code: byId.get(id)?.well === true ? 0 : 3 }),
    maxConcurrent: permits
  })
  return Effect.gen(function* () {
    const remoteRun = yield* RemoteRun
    const begun = yield* Clock.currentTimeMillis
    const run = yield* remoteRun.start(
      orderOf(
        queryOf(control),
        nodes.map(({ id }) => id)
      )
    )
    yield* clock.pass(day, rest)
    yield* over(run)
    const { fates, batches } = predict(nodes, control, permits)
    const times = nodes.map(({ id }) => {
      const from = seen.started.get(id)
      return [
        id,
        from === undefined ? "skipped" : { from: from - begun, to: (seen.ended.get(id) ?? 0) - begun }
      ]
    })
    expect(times).toEqual([...fates])
    // One call a batch, of a sub-relay that has nodes in it.
    for (const relay of ["first", "second"]) {
      const parts = batches.map((members) => members.filter((id) => byId.get(id)?.where === relay))
      const calls = seen.calls.filter((call) => call.relay === relay)
      expect(calls.map((call) => call.nodes)).toEqual(parts.filter((part) => part.length > 0))
    }
    const events = yield* said(run)
    const ids = nodes.map(({ id }) => id)
    expect(namesOf(endsOf(events)).sort()).toEqual([...ids].sort())
    const skipped = ids.filter((id) => fates.get(id) === "skipped")
    expect(skippedOf(events).sort()).toEqual([...skipped].sort())
    for (const end of endsOf(events).filter((one) => one.skipped === true))
      expect(end).toEqual({
        event: "end",
        node: end.node,
        code: null,
        skipped: true,
        duration: 0,
        stderr: ""
      })
    const ok = ids.filter((id) => fates.get(id) !== "skipped" && byId.get(id)?.well === true).length
    const tally = {
      ok,
      failed: ids.length - ok - skipped.length,
      ...(skipped.length === 0 ? {} : { skipped: skipped.length })
    }
    const { duration: _, ...done } = events.at(-1) ?? {}
    expect(done).toEqual({ event: "done", ...tally })
    const past = yield* Effect.flatMap(remoteRun.find(run.id), ({ summary }) => summary)
    expect(past).toMatchObject({ nodes: ids.length, running: 0, ...tally })
    expect(past.skipped).toBe(tally.skipped)
    // Nobody holds anything any more.
    expect(yield* remoteRun.activity).toMatchObject({ agents: 0 })
  }).pipe(Effect.provide(layer), Effect.withClock(clock), Effect.runPromise)
}

describe("a run under control", () => {
  it(
    "starts, waits and stops as the model does, over own nodes and sub-relays, whatever the permits",
    () => FastCheck.assert(FastCheck.asyncProperty(scenario, holds), { numRuns: 25, endOnFailure: true }),
    120_000
  )
})

/** When somebody stops it, and how. Milliseconds after its start. */
interface Intervention {
  readonly after: number
  readonly how: "cancel" | "drain" | "leave"
  readonly splay: string
}

const intervention: FastCheck.Arbitrary<Intervention> = FastCheck.record({
  after: FastCheck.nat(2_000_000),
  how: FastCheck.constantFrom<Intervention["how"]>("cancel", "drain", "leave"),
  splay: FastCheck.constantFrom("0", "10min")
})

/** The scenario with a splay and somebody who stops it: no times are predicted, but what must hold holds. */
const holdsStopped = (drawn: Scenario, { after, how, splay }: Intervention) => {
  const clock = new ManualClock(0)
  const { nodes, control, permits } = drawn
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const { seen, layer } = controlledRelay({
    tree: treeOf(drawn),
    nodes: (id) => ({ lasts: byId.get(id)?.lasts ?? 0, code: byId.get(id)?.well === true ? 0 : 3 }),
    maxConcurrent: permits
  })
  const ids = nodes.map(({ id }) => id)
  return Effect.gen(function* () {
    const remoteRun = yield* RemoteRun
    const begun = yield* Clock.currentTimeMillis
    const query = `${queryOf(control)}&splay=${splay}`
    const run = yield* remoteRun.start(orderOf(query, ids))
    const { nodes: previewed } = yield* remoteRun.preview(orderOf(query, ids))
    yield* clock.pass(after, rest)
    const stopping = yield* Effect.fork(
      how === "cancel" ? remoteRun.cancel(run.id) : how === "drain" ? remoteRun.drain : Effect.void
    )
    yield* clock.pass(day, rest)
    yield* over(run)
    yield* Fiber.join(stopping)
    if (how !== "leave") for (const at of seen.started.values()) expect(at - begun).toBeLessThanOrEqual(after)
    // Of two batches, nobody of the later one starts before all of the earlier one have ended.
    const batchOf = new Map(previewed.map(({ node, batch }) => [node, batch]))
    const batches = Math.max(...batchOf.values())
    const timesOf = (times: ReadonlyMap<string, number>, batch: number) =>
      [...times].filter(([id]) => batchOf.get(id) === batch).map(([, at]) => at)
    for (let batch = 2; batch <= batches; batch++)
      expect(Math.min(...timesOf(seen.started, batch))).toBeGreaterThanOrEqual(
        Math.max(...timesOf(seen.ended, batch - 1)) +
          (timesOf(seen.started, batch).length > 0 ? control.wait : 0)
      )
    const events = yield* said(run)
    expect(namesOf(endsOf(events)).sort()).toEqual([...ids].sort())
    for (const end of endsOf(events)) {
      const isUnstarted = !seen.started.has(String(end.node))
      expect(end.skipped === true || end.cancelled === true).toBe(
        isUnstarted || (how === "cancel" && end.code === null)
      )
    }
    const { ok, failed, skipped = 0 } = yield* run.summary
    expect(ok + failed + skipped).toBe(ids.length)
    expect(yield* remoteRun.activity).toMatchObject({ agents: 0 })
  }).pipe(Effect.provide(layer), Effect.withClock(clock), Effect.runPromise)
}

describe("a run under control that somebody stops", () => {
  it(
    "at any time has one end of each node, and starts nobody from then on",
    () =>
      FastCheck.assert(FastCheck.asyncProperty(scenario, intervention, holdsStopped), {
        numRuns: 25,
        endOnFailure: true
      }),
    120_000
  )
})

const seconds = (id: string, times: ReadonlyMap<string, number>, begun = 0) =>
  ((times.get(id) ?? Number.NaN) - begun) / 1000

/** All that can happen without time has happened. */
const settled = TestClock.adjust(0)

describe("a batch", () => {
  it.effect("is held by a node that hangs until its time-out, and no longer", () => {
    const { seen, layer } = controlledRelay({
      tree: ownTree("n0", "n1"),
      nodes: (id) => (id === "n0" ? { lasts: "hang" } : {}),
      timeout: "10 minutes"
    })
    return Effect.gen(function* () {
      const run = yield* Effect.flatMap(RemoteRun, ({ start }) => start(orderOf("batch=1")))
      yield* TestClock.adjust("599 seconds")
      expect([...seen.started.keys()]).toEqual(["n0"])
      yield* TestClock.adjust("1 seconds")
      yield* over(run)
      expect(seconds("n1", seen.started)).toBe(600)
      expect(endsOf(yield* said(run))).toMatchObject([
        { node: "n0", timeout: true, duration: 600 },
        { node: "n1", code: 0 }
      ])
    }).pipe(Effect.provide(layer))
  })

  it.effect("that waits holds no permit: another run has them all", () => {
    const { seen, layer } = controlledRelay({
      tree: {
        ...ownTree("n0", "n1", "x0", "x1"),
        relay: { hostname: "relay" },
        far: { hostname: "far", relays: ["relay"] }
      },
      nodes: (id) => ({ lasts: id === "far" ? "hang" : "10 seconds" }),
      maxConcurrent: 1
    })
    return Effect.gen(function* () {
      const remoteRun = yield* RemoteRun
      // Its first batch hangs behind the sub-relay; its second would need the permit.
      const careful = yield* remoteRun.start(orderOf("batch=1", ["far", "n0", "n1"]))
      yield* settled
      expect(yield* remoteRun.activity).toMatchObject({ agents: 0 })
      const other = yield* remoteRun.start(orderOf("", ["x0", "x1"]))
      yield* TestClock.adjust("20 seconds")
      yield* over(other)
      expect([seconds("x0", seen.started), seconds("x1", seen.started)]).toEqual([0, 10])
      expect(seen.started.has("n0")).toBe(false)
      yield* remoteRun.cancel(careful.id)
      yield* over(careful)
    }).pipe(Effect.provide(layer))
  })

  it.effect("shares the permits with other runs, turn by turn", () => {
    const { seen, layer } = controlledRelay({
      tree: ownTree(...numbered(4), ...numbered(4, "x")),
      nodes: () => ({ lasts: "10 seconds" }),
      maxConcurrent: 2
    })
    return Effect.gen(function* () {
      const remoteRun = yield* RemoteRun
      const one = yield* remoteRun.start(orderOf("batch=2", numbered(4)))
      const other = yield* remoteRun.start(orderOf("batch=2", numbered(4, "x")))
      yield* TestClock.adjust("1 hours")
      yield* over(one)
      yield* over(other)
      expect(seen.most).toBe(2)
      for (const prefix of ["n", "x"]) {
        const starts = numbered(4, prefix).map((id) => seconds(id, seen.started))
        const ends = numbered(4, prefix).map((id) => seconds(id, seen.ended))
        expect(Math.min(...starts.slice(2))).toBeGreaterThanOrEqual(Math.max(...ends.slice(0, 2)))
      }
      // Eight agents, two at a time, none of them late.
      expect(Math.max(...seen.ended.values())).toBe(40_000)
    }).pipe(Effect.provide(layer))
  })
})

describe("a run that is stopped", () => {
  const behindRelay = { relay: { hostname: "relay" }, far: { hostname: "far", relays: ["relay"] } }

  it.effect.each([
    ["for its batch", "batch=1", { lasts: "hang" as const }, "0 seconds"],
    ["for the time between two batches", "batch=1&batch_wait=1h", {}, "30 minutes"],
    ["for its splay", "splay=1h", {}, "0 seconds"]
  ] as const)("while it waits %s ends at once, by cancel and by the relay's stop", ([, query, node, after]) =>
    Effect.forEach(["cancel", "drain"] as const, (how) => {
      const ids = ["n0", "n1", "far", "n2"]
      const { seen, layer } = controlledRelay({
        tree: { ...ownTree("n0", "n1", "n2"), ...behindRelay },
        nodes: () => node
      })
      return Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(orderOf(query, ids))
        yield* TestClock.adjust(after)
        const begun = [...seen.started.keys()]
        const now = yield* Clock.currentTimeMillis
        const stopping = yield* Effect.fork(how === "cancel" ? remoteRun.cancel(run.id) : remoteRun.drain)
        yield* settled
        // What runs when the relay stops may end.
        if (how === "drain" && seen.running.size > 0) yield* TestClock.adjust("1 hours")
        yield* over(run)
        yield* Fiber.join(stopping)
        expect([...seen.started.keys()]).toEqual(begun)
        const events = yield* said(run)
        expect(namesOf(endsOf(events)).sort()).toEqual([...ids].sort())
        const unstarted = endsOf(events).filter((end) => !begun.includes(String(end.node)))
        expect(unstarted.length).toBe(ids.length - begun.length)
        for (const end of unstarted) expect(end).toMatchObject({ code: null, cancelled: true, duration: 0 })
        if (how === "cancel") expect(yield* Clock.currentTimeMillis).toBe(now)
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.asVoid)
  )

  it.effect("skips also what waits for a permit or for its splay, and lets end what runs", () => {
    const { seen, layer } = controlledRelay({
      tree: ownTree(...numbered(6)),
      nodes: (id) => ({ lasts: id === "n0" ? "1 seconds" : "10 seconds", code: id === "n0" ? 1 : 0 }),
      maxConcurrent: 2
    })
    return Effect.gen(function* () {
      const run = yield* Effect.flatMap(RemoteRun, ({ start }) => start(orderOf("max_failures=0")))
      yield* TestClock.adjust("1 minutes")
      yield* over(run)
      expect([...seen.started.keys()]).toEqual(["n0", "n1"])
      const events = yield* said(run)
      expect(skippedOf(events)).toEqual(["n2", "n3", "n4", "n5"])
      expect(events.at(-1)).toEqual({ event: "done", ok: 1, failed: 1, skipped: 4, duration: 10 })
      // They have their ends when the run is stopped, not when it is over.
      expect(namesOf(endsOf(events)).indexOf("n1")).toBe(5)
    }).pipe(Effect.provide(layer))
  })

  it.effect("counts as failed what has taken too long, and what could not be started", () => {
    const { layer } = controlledRelay({
      tree: { ...ownTree("n0"), odd: { hostname: "-no-host" }, ...ownTree("n1", "n2") },
      nodes: (id) => (id === "n0" ? { lasts: "hang" } : {}),
      timeout: "1 minutes"
    })
    return Effect.gen(function* () {
      const order = orderOf("batch=1&max_failures=1", ["n0", "odd", "n1", "n2"])
      const run = yield* Effect.flatMap(RemoteRun, ({ start }) => start(order))
      yield* TestClock.adjust("1 hours")
      yield* over(run)
      expect(skippedOf(yield* said(run))).toEqual(["n1", "n2"])
    }).pipe(Effect.provide(layer))
  })
})

describe("a splay", () => {
  it.effect(
    "puts off each start by a part of it, those of sub-relays too, and holds no permit meanwhile",
    () => {
      const ids = [...numbered(20), "far"]
      const { seen, layer } = controlledRelay({
        tree: {
          ...ownTree(...numbered(20)),
          relay: { hostname: "relay" },
          far: { hostname: "far", relays: ["relay"] }
        }
      })
      return Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun
          .start(orderOf("splay=10min", ids))
          .pipe(Effect.withRandom(Random.make("some seed")))
        yield* settled
        expect(yield* remoteRun.activity).toMatchObject({ agents: 0 })
        yield* TestClock.adjust("10 minutes")
        yield* over(run)
        const starts = ids.map((id) => seconds(id, seen.started))
        for (const start of starts) {
          expect(start).toBeGreaterThanOrEqual(0)
          expect(start).toBeLessThanOrEqual(600)
        }
        expect(new Set(starts).size).toBeGreaterThan(15)
        expect(Math.max(...starts)).toBeGreaterThan(300)
        expect(Math.min(...starts)).toBeLessThan(300)
      }).pipe(Effect.provide(layer))
    }
  )

  it.effect("of each batch begins with it", () => {
    const { seen, layer } = controlledRelay({ tree: ownTree("n0", "n1") })
    return Effect.gen(function* () {
      const run = yield* Effect.flatMap(RemoteRun, ({ start }) =>
        start(orderOf("batch=1&splay=10min&batch_wait=1h"))
      )
      yield* TestClock.adjust("2 hours")
      yield* over(run)
      const [first, second] = ["n0", "n1"].map((id) => seconds(id, seen.started))
      expect((second ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(3600)
      expect((second ?? 0) - (first ?? 0)).toBeLessThanOrEqual(4200)
    }).pipe(Effect.provide(layer))
  })
})

describe("a preview", () => {
  it.effect(
    "says which nodes would run, through which relays, in which batch, and starts and keeps nothing",
    () => {
      const { seen, layer } = controlledRelay({
        tree: {
          ...ownTree("n0", "upper"),
          lower: { hostname: "lower.example.com", relays: ["upper"] },
          deep: { hostname: "deep.example.com", relays: ["upper", "lower"] }
        }
      })
      return Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const order = orderOf("canary=1&batch=2", ["deep", "n0", "stranger", "upper", "lower"])
        expect(yield* remoteRun.preview(order)).toEqual({
          nodes: [
            { node: "deep", hostname: "deep.example.com", via: ["upper", "lower"], batch: 1 },
            { node: "n0", hostname: "n0", via: [], batch: 2 },
            { node: "upper", hostname: "upper", via: [], batch: 2 },
            { node: "lower", hostname: "lower.example.com", via: ["upper"], batch: 3 }
          ],
          unknown: ["stranger"]
        })
        yield* TestClock.adjust("1 hours")
        expect(seen.started.size + seen.calls.length).toBe(0)
        expect(yield* remoteRun.list(10, everything)).toEqual({ runs: [], next: null })
        const lone: RunOrder = { ...orderOf(""), target: { _tag: "One", id: NodeId.make("stranger") } }
        expect(yield* Effect.flip(remoteRun.preview(lone))).toMatchObject({ _tag: "UnknownTarget" })
      }).pipe(Effect.provide(layer))
    }
  )
})

describe("who asks for a run", () => {
  it.effect("is kept with it, in the order of the contract", () => {
    const { layer } = controlledRelay({ tree: ownTree("n0", "n1") })
    return Effect.gen(function* () {
      const remoteRun = yield* RemoteRun
      const by = { address: "192.0.2.1", key: "sha256//AAAA", actor: "jane", reason: "CHG 7" }
      const parent = RunId.make("01900000-0000-7000-8000-000000000000")
      const run = yield* remoteRun.start({ ...orderOf("batch=1&max_failures=0"), by, parent })
      yield* TestClock.adjust("1 minutes")
      yield* over(run)
      const found = yield* Effect.flatMap(remoteRun.find(run.id), ({ summary }) => summary)
      const expected = {
        id: run.id,
        started: "1970-01-01T00:00:00.000Z",
        output: "discard",
        classes: [],
        nodes: 2,
        running: 0,
        ok: 2,
        failed: 0,
        by,
        parent
      }
      expect(JSON.stringify(found)).toBe(JSON.stringify(expected))
      const { runs } = yield* remoteRun.list(10, everything)
      expect(JSON.stringify(runs)).toBe(JSON.stringify([expected]))
    }).pipe(Effect.provide(layer))
  })
})
