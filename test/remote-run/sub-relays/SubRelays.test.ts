import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, Fiber, Layer, Option, TestClock, TestContext } from "effect"
import type { AgentProcessService } from "../../../src/remote-run/agents/AgentProcess.ts"
import { everything } from "../../../src/remote-run/journal/RunListing.ts"
import { RemoteRun } from "../../../src/remote-run/RemoteRun.ts"
import { RunId } from "../../../src/remote-run/RunId.ts"
import {
  done,
  type Event,
  endEvent,
  runEvent,
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
  turn
} from "../../support/ScriptedSubRelay.ts"
import { servesRuns } from "../../support/ServedRuns.ts"
import { holds } from "../../support/Until.ts"

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
            // That it ended was said, though nobody can read how.
            if (what === "bad end") expected.set(node, "UpstreamFatal")
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
              yield* holds(
                "the run is over",
                Effect.map(remoteRun.activity, ({ runs }) => runs === 0)
              )
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
            const low = yield* servesRuns(lowest)
            const middle = yield* Layer.memoize(relayAbove({ port: low.port, tree: below }))
            const mid = yield* servesRuns(middle)
            const top = yield* Layer.memoize(relayAbove({ port: mid.port, tree: below }))
            const ended = (layer: Layer.Layer<RemoteRun>) =>
              Effect.gen(function* () {
                const remoteRun = yield* RemoteRun
                const page = yield* remoteRun.list(1, everything)
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
