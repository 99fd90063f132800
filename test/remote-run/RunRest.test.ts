import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Stream } from "effect"
import type { RunEvent } from "../../src/remote-run/RunEvent.ts"
import * as RunRest from "../../src/remote-run/RunRest.ts"
import { ask, eventsIn, withServedRelay } from "../support/AskedRelay.ts"

const end = (node: string, over: object): RunEvent => ({
  event: "end",
  node,
  code: null,
  duration: 1,
  stderr: "",
  ...over
})

const names = [
  "ok",
  "code",
  "killed",
  "late",
  "error",
  "cancelled",
  "skipped",
  "unreported",
  "cut",
  "odd",
  "lost"
]

const events = Stream.fromIterable<RunEvent | { event: "unreadable"; of: "end"; node: string }>([
  { event: "run", id: "x", nodes: names, unknown: [], classes: [] },
  end("ok", { code: 0 }),
  end("cut", { interrupted: true, error: { _tag: "AgentError", message: "cut off" } }),
  end("code", { code: 3 }),
  end("killed", { signal: "SIGKILL" }),
  end("late", { timeout: true }),
  end("error", { error: { _tag: "UpstreamFatal", message: "no" } }),
  end("cancelled", { cancelled: true }),
  end("skipped", { skipped: true }),
  end("unreported", { unreported: true }),
  { event: "unreadable", of: "end", node: "odd" },
  { event: "done", ok: 1, failed: 9, duration: 1 }
])

const rest = (only: string | undefined) =>
  Effect.flatMap(RunRest.decodeOnly(only), (reasons) => RunRest.nodes(events, reasons))

describe("the rest of a run", () => {
  it.effect("is its nodes that are not ok, each for one reason, in the order of the run", () =>
    Effect.gen(function* () {
      expect(yield* rest(undefined)).toEqual(names.filter((name) => name !== "ok"))
      expect(yield* rest("failed")).toEqual(["code", "killed", "late", "error", "odd"])
      expect(yield* rest("cancelled")).toEqual(["cancelled"])
      expect(yield* rest("skipped, unreported")).toEqual(["skipped", "unreported"])
      expect(yield* rest("interrupted")).toEqual(["cut", "lost"])
    })
  )

  it("is asked for by names that are known", () => {
    for (const text of ["", "failed,", "ok", "Failed"])
      expect(Either.isLeft(RunRest.decodeOnly(text)) && RunRest.decodeOnly(text)).toMatchObject({
        left: { parameter: "only", message: expect.stringContaining("failed, cancelled, skipped") }
      })
  })
})

describe("a retry", () => {
  /** Each agent fails the first time, but for that of `ok`. */
  const failsOnce = () => {
    const met = new Set<string>()
    return (host: string) => {
      const exit = host === "ok" || met.has(host) ? 0 : 3
      met.add(host)
      return { exit }
    }
  }

  it.scopedLive("is a run of its own of what was not ok, with the old one's classes and output", () =>
    withServedRelay(
      Effect.gen(function* () {
        const [first] = eventsIn(yield* ask("POST", "nodes?nodes=ok,bad,other&classes=a,b&output=keep"))
        const again = yield* ask("POST", `runs/${String(first?.id)}/retry`)
        expect(again.status).toBe(200)
        const [run] = eventsIn(again)
        expect(run).toMatchObject({ event: "run", nodes: ["bad", "other"], unknown: [], classes: ["a", "b"] })
        expect(again.body).toContain("bad:hello from bad a+b\n")
        const { runs } = JSON.parse((yield* ask("GET", "runs")).body)
        expect(runs[0]).toMatchObject({ id: run?.id, parent: first?.id, nodes: 2, ok: 2, output: "keep" })
        expect(runs[1]).not.toHaveProperty("parent")
        const nothing = yield* ask("POST", `runs/${String(run?.id)}/retry`)
        expect(nothing).toMatchObject({ status: 200, type: "application/json", body: '{"nodes":[]}\n' })
        expect(JSON.parse((yield* ask("GET", "runs")).body).runs.length).toBe(2)
      }),
      failsOnce()
    )
  )

  it.scopedLive("takes other classes, output and form where they are said", () =>
    withServedRelay(
      Effect.gen(function* () {
        const [first] = eventsIn(yield* ask("GET", "nodes?nodes=ok,bad&classes=a&output=keep"))
        const again = yield* ask("POST", `runs/${String(first?.id)}/retry?classes=c&output=discard&async=yes`)
        expect(again.status).toBe(202)
        expect(eventsIn(again)).toMatchObject([{ event: "run", nodes: ["bad"], classes: ["c"] }])
      }),
      failsOnce()
    )
  )

  it.scopedLive("is refused with a reason where it can't be", () =>
    withServedRelay(
      Effect.gen(function* () {
        const [running] = eventsIn(yield* ask("POST", "node/slow?async=yes"))
        const path = `runs/${String(running?.id)}/retry`
        expect(yield* ask("POST", path)).toMatchObject({
          status: 409,
          body: expect.stringContaining("RunGoesOn")
        })
        expect(yield* ask("POST", `${path}?only=all`)).toMatchObject({
          status: 400,
          body: expect.stringContaining('"parameter":"only"')
        })
        expect(yield* ask("POST", `${path}?nodes=ok`)).toMatchObject({ status: 400 })
        expect(yield* ask("GET", path)).toMatchObject({ status: 405 })
        for (const id of ["x", "01900000-0000-7000-8000-000000000000"])
          expect(yield* ask("POST", `runs/${id}/retry`)).toMatchObject({
            status: 404,
            body: expect.stringContaining("RunNotFound")
          })
        // One that was cancelled is waited for.
        expect(yield* ask("DELETE", `runs/${String(running?.id)}`)).toMatchObject({ status: 202 })
        const again = yield* ask("POST", `${path}?only=cancelled&async=yes`)
        expect(again.status).toBe(202)
        expect(eventsIn(again)).toMatchObject([{ nodes: ["slow"] }])
      }),
      (host) => (host === "slow" ? { exit: "hang", dying: "200 millis" } : {})
    )
  )
})
