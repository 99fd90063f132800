import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, Fiber, Layer, Logger, Option, Schema, Stream, TestClock } from "effect"
import { makeSettings } from "../../src/config/GivenSettings.ts"
import { RelayConfig } from "../../src/config/RelayConfig.ts"
import * as NodeDisk from "../../src/disk/NodeDisk.ts"
import { NodeId } from "../../src/NodeId.ts"
import {
  AgentError,
  AgentProcess,
  type AgentProcessService
} from "../../src/remote-run/agents/AgentProcess.ts"
import { ClassName } from "../../src/remote-run/ClassName.ts"
import * as FolderHistory from "../../src/remote-run/journal/FolderHistory.ts"
import type { RunHistory } from "../../src/remote-run/journal/RunHistory.ts"
import { everything } from "../../src/remote-run/journal/RunListing.ts"
import { RemoteRun, type RunOrder } from "../../src/remote-run/RemoteRun.ts"
import { RunDone } from "../../src/remote-run/RunEvent.ts"
import { RunId } from "../../src/remote-run/RunId.ts"
import type { RunTarget } from "../../src/remote-run/RunPlan.ts"
import { SubRelays, type SubRelaysService } from "../../src/remote-run/sub-relays/SubRelays.ts"
import { alone } from "../../src/testing/Leases.ts"
import { nodesListLayer, type Tree } from "../../src/testing/Topology.ts"
import { ManualClock } from "../support/ManualClock.ts"
import { holds } from "../support/Until.ts"

interface Setting {
  readonly tree: Tree
  readonly agent: AgentProcessService["run"]
  readonly subRelay?: SubRelaysService["run"]
  readonly maxConcurrent?: number
  readonly neverLoaded?: boolean
  readonly nodeId?: string
}

/** Runs a test against the service with scripted agents, and a history in a folder of its own. */
const withRelay = <A, E>(
  setting: Setting,
  test: Effect.Effect<A, E, RemoteRun | RunHistory | RelayConfig | FileSystem.FileSystem>
) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "rudder-relay-runs-" })
    const settings = makeSettings({
      general: { nodeId: NodeId.make(setting.nodeId ?? "me") },
      remoteRun: { directory, maxConcurrent: setting.maxConcurrent ?? 50 }
    })
    const layer = RemoteRun.layer.pipe(
      Layer.provideMerge(FolderHistory.layer),
      Layer.provideMerge(Layer.succeed(RelayConfig, settings)),
      Layer.provide([
        alone(),
        NodeDisk.layer,
        nodesListLayer(setting.tree, { neverLoaded: setting.neverLoaded ?? false }),
        Layer.succeed(AgentProcess, { run: setting.agent, unkillable: Effect.succeed(0) }),
        setting.subRelay === undefined
          ? SubRelays.unreachable
          : Layer.succeed(SubRelays, { run: setting.subRelay })
      ])
    )
    return yield* Effect.provide(test, layer)
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

const order = (target: RunTarget, over: Partial<RunOrder> = {}): RunOrder => ({
  target,
  classes: [],
  output: "keep",
  ...over
})

const all: RunTarget = { _tag: "All" }
const ids = (...names: ReadonlyArray<string>): RunTarget => ({
  _tag: "Nodes",
  ids: names.map((name) => NodeId.make(name))
})

const mine = (count: number): Tree =>
  Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`n${index}`, { hostname: `n${index}.example.com` }])
  )

const decodeDone = Schema.decodeUnknown(Schema.parseJson(RunDone))

const text = (chunks: Iterable<Uint8Array>) => Buffer.concat([...chunks]).toString("utf8")

/** Everything that a run will have said when it is over. */
const readAll = (run: {
  readonly read: (options: {
    format: "ndjson"
    order: "live"
    after: 0
  }) => Stream.Stream<Uint8Array, unknown>
}) =>
  run.read({ format: "ndjson", order: "live", after: 0 }).pipe(
    Stream.runCollect,
    Effect.map((chunks) =>
      text(chunks)
        .split("\n")
        .filter((line) => line !== "")
        .map((line): Record<string, unknown> => JSON.parse(line))
    )
  )

const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** Lets time pass until the fiber is over: files are written in real time, agents sleep in the test's. */
const passTimeUntil = <A, E>(
  fiber: Fiber.RuntimeFiber<A, E>,
  anHour: Effect.Effect<void> = TestClock.adjust("1 hours")
) =>
  Effect.gen(function* () {
    while (Option.isNone(yield* Fiber.poll(fiber))) {
      yield* turn
      yield* anHour
    }
    return yield* Fiber.join(fiber)
  })

describe("never more than max_concurrent agents", () => {
  it(
    "and n of equal duration take ceil(n / max_concurrent) durations",
    () =>
      FastCheck.assert(
        FastCheck.asyncProperty(
          FastCheck.integer({ min: 1, max: 30 }),
          FastCheck.integer({ min: 1, max: 12 }),
          (count, maxConcurrent) => {
            const clock = new ManualClock(0)
            let now = 0
            let most = 0
            const agent: AgentProcessService["run"] = () =>
              Effect.acquireUseRelease(
                Effect.sync(() => {
                  most = Math.max(most, ++now)
                }),
                () => Effect.as(Effect.sleep("10 seconds"), { code: 0, signal: null }),
                () => Effect.sync(() => now--)
              )
            const test = Effect.gen(function* () {
              const remoteRun = yield* RemoteRun
              const run = yield* remoteRun.start(order(all))
              const reading = yield* Effect.fork(readAll(run))
              let rounds = 0
              while (Option.isNone(yield* Fiber.poll(reading))) {
                const expected = Math.min(maxConcurrent, count - rounds * maxConcurrent)
                if (expected > 0) {
                  // All that may run do, before time passes.
                  yield* holds(
                    "all run that may",
                    Effect.sync(() => now >= expected)
                  )
                  rounds++
                  yield* clock.pass(10_000, turn)
                }
                yield* turn
              }
              const events = yield* Fiber.join(reading)
              expect(events.at(-1)).toMatchObject({
                event: "done",
                ok: count,
                failed: 0,
                duration: Math.ceil(count / maxConcurrent) * 10
              })
              expect(most).toBe(Math.min(count, maxConcurrent))
            })
            return Effect.runPromise(
              withRelay({ tree: mine(count), agent, maxConcurrent }, test).pipe(Effect.withClock(clock))
            )
          }
        ),
        { numRuns: 25 }
      ),
    60_000
  )
})

/** What an agent may do; `hang` until its time-out or its cancel. */
const Behaviour = FastCheck.constantFrom<Behaviour>(
  "ok",
  "fail",
  "signal",
  "missing",
  "hang",
  "slow",
  "defect",
  "badHostname"
)
type Behaviour = "ok" | "fail" | "signal" | "missing" | "hang" | "slow" | "defect" | "badHostname"

const behave = (behaviour: Behaviour): ReturnType<AgentProcessService["run"]> => {
  switch (behaviour) {
    case "ok":
    case "badHostname":
      return Effect.succeed({ code: 0, signal: null })
    case "fail":
      return Effect.succeed({ code: 3, signal: null })
    case "signal":
      return Effect.succeed({ code: null, signal: "SIGKILL" })
    case "missing":
      return Effect.fail(new AgentError({ message: "no such command" }))
    case "hang":
      return Effect.never
    case "slow":
      return Effect.as(Effect.sleep("30 minutes"), { code: 0, signal: null })
    case "defect":
      return Effect.die(new Error("a bug"))
  }
}

/** What a sub-relay may report of one node. */
const Report = FastCheck.constantFrom("once", "twice", "nothing", "startOnly")

describe("every node asked for", () => {
  const scenario = FastCheck.record({
    own: FastCheck.array(Behaviour, { maxLength: 12 }),
    behind: FastCheck.array(Report, { maxLength: 8 }),
    relay: FastCheck.constantFrom("returns", "hangs", "dies"),
    unknown: FastCheck.nat(3),
    cancelAfter: FastCheck.option(FastCheck.nat(6), { nil: undefined }),
    leave: FastCheck.boolean(),
    maxConcurrent: FastCheck.integer({ min: 1, max: 4 })
  })

  it(
    "gets exactly one end or is named in unknown, whatever agents, sub-relays and callers do",
    () =>
      FastCheck.assert(
        FastCheck.asyncProperty(
          scenario,
          ({ own, behind, relay, unknown, cancelAfter, leave, maxConcurrent }) => {
            const tree: Tree = {
              relay: { hostname: "relay.example.com" },
              ...Object.fromEntries(
                own.map((behaviour, i) => [
                  `own${i}`,
                  { hostname: behaviour === "badHostname" ? "-x,y" : `own${i}` }
                ])
              ),
              ...Object.fromEntries(
                behind.map((_, i) => [`behind${i}`, { hostname: `b${i}`, relays: ["relay"] }])
              )
            }
            const agent: AgentProcessService["run"] = ({ hostname }, output) => {
              output.write("stdout", Buffer.from(`hello from ${hostname}`), () => {})
              return behave(own[Number(hostname.replace("own", ""))] ?? "ok")
            }
            const subRelay: SubRelaysService["run"] = ({ nodes, report }) =>
              Effect.gen(function* () {
                for (const node of nodes) {
                  const what = behind[Number(node.replace("behind", ""))]
                  if (what === "nothing") continue
                  report(node).start("b")
                  if (what === "startOnly") continue
                  report(node).end({ code: 0 })
                  if (what === "twice") report(node).end({ code: 1 })
                }
                if (relay === "hangs") yield* Effect.sleep("5 hours")
                if (relay === "dies") return yield* Effect.die(new Error("a bug"))
              })
            const clock = new ManualClock(0)
            const known = Object.keys(tree).filter((id) => id !== "relay")
            const strangers = Array.from({ length: unknown }, (_, i) => `stranger${i}`)
            const test = Effect.gen(function* () {
              const remoteRun = yield* RemoteRun
              const run = yield* remoteRun.start(order(ids(...known, ...strangers)))
              const reading = yield* Effect.fork(readAll(run))
              if (leave) yield* Effect.flatMap(Effect.fork(readAll(run)), Fiber.interruptFork)
              for (let i = 0; i < (cancelAfter ?? 0); i++) yield* turn
              if (cancelAfter !== undefined) yield* remoteRun.cancel(run.id)
              const events = yield* passTimeUntil(reading, clock.pass(3_600_000, turn))
              const ends = events.filter((event) => event.event === "end").map((event) => event.node)
              expect(ends.sort()).toEqual([...known].sort())
              expect(events[0]).toMatchObject({ event: "run", nodes: known, unknown: strangers })
              expect(events.filter((event) => event.event === "done").length).toBe(1)
              const { ok, failed } = yield* decodeDone(JSON.stringify(events.at(-1)))
              expect(ok + failed).toBe(known.length)
              // What is replayed is what was seen, and the list agrees with it.
              const found = yield* Effect.flatMap(remoteRun.find(run.id), (past) =>
                Effect.zip(readAll(past), past.summary)
              )
              expect(found[0]).toEqual(events.filter((event) => event.event !== "ping"))
              expect(found[1]).toMatchObject({ nodes: known.length, running: 0, ok, failed })
            })
            return Effect.runPromise(
              withRelay({ tree, agent, subRelay, maxConcurrent }, test).pipe(Effect.withClock(clock))
            )
          }
        ),
        { numRuns: 20, endOnFailure: true }
      ),
    60_000
  )
})

describe("a run", () => {
  const hello: AgentProcessService["run"] = ({ hostname }, output) =>
    Effect.sync(() => {
      output.write("stdout", Buffer.from(`hello from ${hostname}\n`), () => {})
      output.write("stderr", Buffer.from("a warning\n"), () => {})
      return { code: 0, signal: null }
    })

  it.effect("says why a node has no code", () => {
    const agent: AgentProcessService["run"] = ({ hostname }) => {
      if (hostname === "late") return Effect.never
      if (hostname === "killed") return Effect.succeed({ code: null, signal: "SIGKILL" })
      return Effect.fail(new AgentError({ message: "no such command" }))
    }
    const tree = {
      late: { hostname: "late" },
      killed: { hostname: "killed" },
      gone: { hostname: "gone" },
      bad: { hostname: "a,b" }
    }
    const clock = new ManualClock(0)
    return withRelay(
      { tree, agent },
      Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(order(all))
        const events = yield* passTimeUntil(yield* Effect.fork(readAll(run)), clock.pass(3_600_000, turn))
        const end = (node: string) => events.find((event) => event.event === "end" && event.node === node)
        expect(end("late")).toMatchObject({ code: null, timeout: true, duration: 3600 })
        expect(end("killed")).toMatchObject({ code: null, signal: "SIGKILL" })
        expect(end("gone")).toMatchObject({
          code: null,
          error: { _tag: "AgentError", message: "no such command" }
        })
        expect(end("bad")).toMatchObject({ code: null, error: { _tag: "AgentError" } })
        expect(events.some((event) => event.event === "start" && event.node === "bad")).toBe(false)
      })
    ).pipe(Effect.withClock(clock))
  })

  it.effect(
    "has up to twenty failed agents in the log, each with its reason, and the number of the others",
    () => {
      const agent: AgentProcessService["run"] = ({ hostname }, output) => {
        if (hostname === "ok") return Effect.succeed({ code: 0, signal: null })
        if (hostname !== "bad0")
          return Effect.fail(new AgentError({ message: `no such command for ${hostname}` }))
        output.write(
          "stderr",
          Buffer.from("sudo: \x1b[31ma password\nsudo: a password is required\n"),
          () => {}
        )
        return Effect.succeed({ code: 1, signal: null })
      }
      const names = ["ok", ...Array.from({ length: 23 }, (_, index) => `bad${index}`)]
      const tree = Object.fromEntries(names.map((hostname) => [hostname, { hostname }]))
      const lines: Array<string> = []
      const logger = Logger.make(({ logLevel, message, annotations }) => {
        if (logLevel._tag === "Warning")
          lines.push([message, ...[...annotations].map(([key, value]) => `${key}=${value}`)].join(" "))
      })
      return withRelay(
        { tree, agent, maxConcurrent: 1 },
        Effect.gen(function* () {
          const remoteRun = yield* RemoteRun
          const run = yield* remoteRun.start(order(all, { output: "discard" }))
          yield* passTimeUntil(yield* Effect.fork(readAll(run)))
          expect(lines.length).toBe(21)
          expect(lines[0]).toContain("an agent failed")
          expect(lines[0]).toContain("node=bad0")
          expect(lines[0]).toContain("problem=it ended with code 1: sudo: a password is required")
          expect(lines[19]).toContain("problem=no such command for bad19")
          expect(lines[20]).toContain("more agents failed")
          expect(lines[20]).toContain("agents=3")
        })
      ).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
    }
  )

  it.effect("that is cancelled ends what runs and what waits", () => {
    let interrupted = 0
    const agent: AgentProcessService["run"] = () =>
      Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
    return withRelay(
      { tree: mine(5), agent, maxConcurrent: 2 },
      Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(order(all))
        yield* holds(
          "two agents run",
          Effect.map(remoteRun.activity, ({ agents }) => agents >= 2)
        )
        yield* holds(
          "two nodes have started",
          Effect.map(run.summary, ({ running }) => running >= 2)
        )
        expect(yield* remoteRun.cancel(run.id)).toBe(true)
        const events = yield* readAll(run)
        const ends = events.filter((event) => event.event === "end")
        expect(ends.map((end) => end.cancelled)).toEqual([true, true, true, true, true])
        expect(interrupted).toBe(2)
        yield* holds(
          "the run is over",
          Effect.map(remoteRun.activity, ({ runs }) => runs === 0)
        )
        expect(yield* remoteRun.cancel(run.id)).toBe(false)
      })
    )
  })

  it.effect("that is drained starts no more agents and lets those that run end", () => {
    const agent: AgentProcessService["run"] = () =>
      Effect.as(Effect.sleep("1 minutes"), { code: 0, signal: null })
    return withRelay(
      { tree: mine(3), agent, maxConcurrent: 1 },
      Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(order(all))
        yield* holds(
          "a node has started",
          Effect.map(run.summary, ({ running }) => running >= 1)
        )
        const draining = yield* Effect.fork(remoteRun.drain)
        yield* passTimeUntil(draining)
        expect(yield* Effect.flatMap(remoteRun.find(run.id), (past) => past.summary)).toMatchObject({
          ok: 1,
          failed: 2
        })
        expect(yield* Effect.flip(remoteRun.start(order(all)))).toMatchObject({ _tag: "TooBusy" })
      })
    )
  })

  it.effect(
    "that is drained at the end of a scope is waited for so long, where that may be interrupted",
    () => {
      const agent: AgentProcessService["run"] = () => Effect.never
      return withRelay(
        { tree: mine(1), agent },
        Effect.gen(function* () {
          const remoteRun = yield* RemoteRun
          const run = yield* remoteRun.start(order(all))
          yield* holds(
            "its node has started",
            Effect.map(run.summary, ({ running }) => running === 1)
          )
          const waits = Effect.timeoutOption(Effect.interruptible(remoteRun.drain), "30 seconds")
          const ending = yield* Effect.fork(Effect.scoped(Effect.addFinalizer(() => waits)))
          yield* TestClock.adjust("29 seconds")
          expect(ending.unsafePoll()).toBeNull()
          yield* TestClock.adjust("1 second")
          yield* Fiber.join(ending)
          expect(yield* remoteRun.cancel(run.id)).toBe(true)
        })
      )
    }
  )

  it.effect("of one unknown node is UnknownTarget, and TooBusy on a root without a list", () =>
    Effect.gen(function* () {
      const one = order({ _tag: "One", id: NodeId.make("nobody") })
      const start = Effect.flatMap(RemoteRun, (remoteRun) => Effect.flip(remoteRun.start(one)))
      expect(yield* withRelay({ tree: {}, agent: hello }, start)).toMatchObject({
        _tag: "UnknownTarget",
        target: "nobody"
      })
      const root = { tree: {}, agent: hello, nodeId: "root", neverLoaded: true }
      expect(yield* withRelay(root, start)).toMatchObject({ _tag: "TooBusy" })
    })
  )

  it.effect("with output=discard keeps events only, with the end of stderr", () =>
    withRelay(
      { tree: mine(1), agent: hello },
      Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(order(all, { output: "discard" }))
        const events = yield* readAll(run)
        expect(events.map((event) => event.event)).toEqual(["run", "start", "end", "done"])
        expect(events[2]).toMatchObject({ code: 0, stderr: "a warning\n" })
      })
    )
  )

  it.effect("gives its classes to the agent and to the sub-relay", () => {
    const seen: Array<ReadonlyArray<string>> = []
    const agent: AgentProcessService["run"] = ({ classes }) =>
      Effect.sync(() => ({ code: seen.push(classes), signal: null }))
    const subRelay: SubRelaysService["run"] = ({ classes }) => Effect.sync(() => void seen.push(classes))
    const tree = { relay: { hostname: "relay" }, below: { hostname: "below", relays: ["relay"] } }
    return withRelay(
      { tree, agent, subRelay },
      Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(
          order(all, { classes: [ClassName.make("a"), ClassName.make("b")] })
        )
        const events = yield* readAll(run)
        expect(seen).toEqual([
          ["a", "b"],
          ["a", "b"]
        ])
        const below = events.find((event) => event.event === "end" && event.node === "below")
        expect(below).toMatchObject({ code: null, error: { _tag: "UpstreamFatal" } })
      })
    )
  })

  it.effect("is on the last page where behind it there is none that can be shown", () =>
    withRelay(
      { tree: mine(1), agent: hello },
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const { directory } = (yield* RelayConfig).remoteRun
        // A file under a run's name, of the time before all others.
        yield* fs.makeDirectory(`${directory}/000000`, { recursive: true })
        yield* fs.writeFileString(`${directory}/000000/00000000-0000-7000-8000-000000000000.run`, "?")
        yield* TestClock.setTime(20_000_000)
        const remoteRun = yield* RemoteRun
        const run = yield* remoteRun.start(order(all))
        yield* readAll(run)
        const page = yield* remoteRun.list(1, everything)
        expect(page.runs.map(({ id }) => id)).toEqual([run.id])
        expect(page.next).toBeNull()
      })
    )
  )

  it.effect("is listed newest first, page by page", () =>
    withRelay(
      { tree: mine(1), agent: hello },
      Effect.gen(function* () {
        const remoteRun = yield* RemoteRun
        const started: Array<string> = []
        for (let i = 0; i < 5; i++) {
          const run = yield* remoteRun.start(order(all))
          yield* readAll(run)
          started.unshift(run.id)
        }
        const first = yield* remoteRun.list(3, everything)
        expect(first.runs.map(({ id }) => id)).toEqual(started.slice(0, 3))
        expect(first.next).toBe(started[2])
        const before = Option.map(Option.fromNullable(first.next), (id) => RunId.make(id))
        const second = yield* remoteRun.list(3, { ...everything, before })
        expect(second.runs.map(({ id }) => id)).toEqual(started.slice(3))
        expect(second.next).toBe(null)
        expect(first.runs[0]).toMatchObject({
          output: "keep",
          classes: [],
          nodes: 1,
          running: 0,
          ok: 1,
          failed: 0
        })
      })
    )
  )
})
