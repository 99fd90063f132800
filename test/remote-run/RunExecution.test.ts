import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Option, Stream, TestClock } from "effect"
import * as AgentPermits from "../../src/remote-run/agents/AgentPermits.ts"
import type { AgentProcessService } from "../../src/remote-run/agents/AgentProcess.ts"
import * as JournalEvents from "../../src/remote-run/journal/JournalEvents.ts"
import * as RunExecution from "../../src/remote-run/RunExecution.ts"
import * as RunPlan from "../../src/remote-run/RunPlan.ts"
import { RunProgress } from "../../src/remote-run/RunProgress.ts"
import type { SubRelaysService } from "../../src/remote-run/sub-relays/SubRelays.ts"
import { nodesOf, type Tree } from "../../src/testing/Topology.ts"
import { makeJournal } from "../support/Journals.ts"
import { holds } from "../support/Until.ts"

const well: AgentProcessService["run"] = () => Effect.succeed({ code: 0, signal: null })

interface Setting {
  readonly tree: Tree
  readonly agent?: AgentProcessService["run"]
  readonly subRelay?: SubRelaysService["run"]
  readonly permits?: number
}

/** A run of all nodes that has not begun. */
const make = ({ tree, agent = well, subRelay = () => Effect.void, permits: limit = 10 }: Setting) =>
  Effect.gen(function* () {
    const journal = yield* makeJournal()
    const plan = yield* RunPlan.make(nodesOf(tree), { _tag: "All" })
    const head = {
      id: "01900000-0000-7000-8000-000000000000",
      started: "2026-01-05T09:00:00.000Z",
      output: "keep" as const,
      classes: ["a"],
      nodes: plan.known.length
    }
    const progress = new RunProgress(head, journal, 1000)
    const permits = AgentPermits.make(limit)
    const execution = yield* RunExecution.make(
      {
        agents: { run: agent, unkillable: Effect.succeed(0) },
        subRelays: { run: subRelay },
        permits,
        timeout: Duration.hours(1)
      },
      plan,
      progress
    )
    const events = Effect.gen(function* () {
      yield* journal.flushed
      return [...(yield* Stream.runCollect(JournalEvents.events(journal)))]
    })
    /** Every end, in the order in which they came. */
    const ends = Effect.map(events, (all) => all.filter((event) => event.event === "end"))
    return { execution, progress, permits, events, ends }
  })

const own = (...names: ReadonlyArray<string>): Tree =>
  Object.fromEntries(names.map((hostname) => [hostname, { hostname }]))

describe("a run that goes on", () => {
  it.scoped("is over when every node has its end, and has counted them", () =>
    Effect.gen(function* () {
      const { execution, progress, ends } = yield* make({
        tree: own("A", "B", "C"),
        agent: ({ hostname, classes }) =>
          Effect.succeed({ code: hostname === "B" || classes[0] !== "a" ? 1 : 0, signal: null })
      })
      yield* execution.run
      expect((yield* ends).map(({ node }) => node).sort()).toEqual(["A", "B", "C"])
      expect(progress.summary).toMatchObject({ nodes: 3, running: 0, ok: 2, failed: 1 })
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scoped("starts its nodes in their order, each with a permit that it gives back", () =>
    Effect.gen(function* () {
      const started: Array<string> = []
      const { execution, permits } = yield* make({
        tree: own("C", "A", "B"),
        permits: 1,
        agent: (command) =>
          Effect.sync(() => {
            started.push(command.hostname)
            return { code: 0, signal: null }
          })
      })
      yield* execution.run
      expect(started).toEqual(["C", "A", "B"])
      expect(yield* permits.inUse).toBe(0)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scoped("that is told to start no more lets end what runs, and cancels what waits", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const { execution, progress, ends } = yield* make({
        tree: own("A", "B"),
        permits: 1,
        agent: () =>
          Effect.andThen(
            Deferred.succeed(begun, undefined),
            Effect.as(Effect.sleep("1 minutes"), { code: 0, signal: null })
          )
      })
      const running = yield* Effect.fork(execution.run)
      yield* Deferred.await(begun)
      yield* execution.stopStarting
      yield* holds(
        "a node has ended",
        Effect.map(ends, ({ length }) => length > 0)
      )
      expect(Option.isNone(yield* Fiber.poll(running))).toBe(true)
      yield* TestClock.adjust("1 minutes")
      yield* Fiber.join(running)
      expect(yield* ends).toMatchObject([
        { node: "B", code: null, cancelled: true },
        { node: "A", code: 0, duration: 60 }
      ])
      expect(progress.result).toEqual({ ok: 1, failed: 1 })
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scoped("that is cancelled is over when its agents and calls are gone", () =>
    Effect.gen(function* () {
      const gone: Array<string> = []
      const begun = yield* Deferred.make<void>()
      const forever = (name: string) =>
        Effect.never.pipe(Effect.ensuring(Effect.sync(() => void gone.push(name))))
      const { execution, progress, permits, ends } = yield* make({
        tree: { ...own("relay", "A"), below: { hostname: "below", relays: ["relay"] } },
        permits: 1,
        agent: ({ hostname }) => Effect.andThen(Deferred.succeed(begun, undefined), forever(hostname)),
        subRelay: ({ report }) =>
          Effect.suspend(() => {
            report("below").start("below")
            return forever("call")
          })
      })
      const running = yield* Effect.fork(execution.run)
      yield* Deferred.await(begun)
      yield* holds(
        "both run",
        Effect.sync(() => progress.running >= 2)
      )
      yield* execution.cancel
      yield* Fiber.join(running)
      expect(gone.sort()).toEqual(["call", "relay"])
      expect((yield* ends).map(({ node, cancelled }) => [node, cancelled]).sort()).toEqual([
        ["A", true],
        ["below", true],
        ["relay", true]
      ])
      expect(progress.running).toBe(0)
      expect(yield* permits.inUse).toBe(0)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scoped("gives every node its end also where it is interrupted", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const { execution, ends } = yield* make({
        tree: own("A", "B"),
        permits: 1,
        agent: () => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
      })
      const running = yield* Effect.fork(execution.run)
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(running)
      expect((yield* ends).map(({ node, cancelled }) => [node, cancelled])).toEqual([
        ["A", true],
        ["B", true]
      ])
    }).pipe(Effect.provide(NodeContext.layer))
  )
})

describe("a sub-relay in a run", () => {
  const tree: Tree = {
    relay: { hostname: "-no-host" },
    A: { hostname: "A", relays: ["relay"] },
    B: { hostname: "B", relays: ["relay"] }
  }

  it.scoped("is heard of each node once: one start, one end, and nothing behind it", () =>
    Effect.gen(function* () {
      const { execution, progress, events } = yield* make({
        tree,
        subRelay: ({ report }) =>
          Effect.sync(() => {
            const node = report("A")
            node.start("A")
            node.start("again")
            node.end({ code: 0 })
            node.start("late")
            node.end({ code: 1 })
            report("B").end({ code: null, unreported: true })
          })
      })
      yield* execution.run
      const said = (yield* events).filter((event) => "node" in event && event.node !== "relay")
      expect(said).toMatchObject([
        { event: "start", node: "A", hostname: "A" },
        { event: "end", node: "A", code: 0 },
        { event: "end", node: "B", code: null, unreported: true }
      ])
      // The relay's own hostname can't be one, and what is unreported is neither well nor failed.
      expect(progress.result).toEqual({ ok: 1, failed: 1 })
      expect(progress.running).toBe(0)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scoped("that says nothing of a node has not run it, as far as anybody knows", () =>
    Effect.gen(function* () {
      const { execution, ends } = yield* make({ tree })
      yield* execution.run
      expect((yield* ends).filter(({ node }) => node !== "relay")).toMatchObject([
        { node: "A", error: { _tag: "UpstreamFatal" } },
        { node: "B", error: { _tag: "UpstreamFatal" } }
      ])
    }).pipe(Effect.provide(NodeContext.layer))
  )
})
