/** Runs, the relay's parts and transfers in words. */
import { describe, expect, it } from "@effect/vitest"
import * as RunText from "../../src/cli/RunText.ts"
import * as Status from "../../src/cli/Status.ts"
import * as TransferLine from "../../src/cli/TransferLine.ts"

const run = {
  id: "019b8d1c-2600-7a64-9e7c-3f1f0c5f2b11",
  started: "2026-01-05T09:00:00.000Z",
  output: "keep",
  classes: [],
  nodes: 10,
  running: 0,
  ok: 10,
  failed: 0
} as const

describe("a run", () => {
  it("is ok, or says what is not", () => {
    expect(RunText.result(run)).toBe("ok")
    expect(RunText.result({ ...run, ok: 4, running: 2, failed: 1 })).toBe("2 running, 1 failed, 3 waiting")
    expect(RunText.result({ ...run, ok: 4, failed: 1, skipped: 2 })).toBe(
      "1 failed, 2 skipped, 3 waiting or unreported"
    )
    expect(RunText.result({ ...run, ok: 9, failed: 1, interrupted: true })).toBe("interrupted, 1 failed")
    expect(RunText.counts({ ...run, ok: 9, failed: 1 })).toBe("9 ok, 1 failed")
  })

  it("is asked for by somebody", () => {
    expect(RunText.by({})).toBe("")
    expect(RunText.by({ by: { address: "10.0.0.1" } })).toBe("10.0.0.1")
    expect(RunText.by({ by: { address: "10.0.0.1", actor: "me" } })).toBe("me")
  })
})

describe("a node", () => {
  const ended = { node: "a", state: "ended", code: null, duration: 1, stderr: "" } as const

  it("ended somehow, and for a reason", () => {
    const state = (more: object) => RunText.state({ ...ended, ...more })
    expect(RunText.state({ node: "a", state: "running" })).toBe("running")
    expect(state({ code: 0 })).toBe("ok")
    expect(state({ code: 3 })).toBe("code 3")
    expect(state({ signal: "SIGKILL" })).toBe("SIGKILL")
    expect(state({ timeout: true })).toBe("timed out")
    expect(state({ cancelled: true })).toBe("cancelled")
    expect(state({ skipped: true })).toBe("skipped")
    expect(state({ unreported: true })).toBe("unreported")
    expect(state({ interrupted: true, error: { _tag: "AgentError", message: "x" } })).toBe("interrupted")
    expect(state({ error: { _tag: "UpstreamFatal", message: "no answer" } })).toBe("UpstreamFatal")
    expect(RunText.reason({ code: 1, stderr: "one\ntwo\n" })).toBe("two")
    expect(RunText.reason({ code: null, error: { _tag: "AgentError", message: "no" }, stderr: "x" })).toBe(
      "no"
    )
    expect(RunText.reason({ code: 0, stderr: "a warning" })).toBe("")
  })
})

describe("the status", () => {
  const parts = Status.parts({
    configuration: { status: "success" },
    nodes: {
      status: "error",
      details: "the list can't be read: \u001b[2J",
      known: 3,
      mine: 2,
      loaded: "2026-01-05T09:00:00.000Z",
      written: null
    },
    upstream: { status: "success", answered: null },
    outbox: { status: "success", waiting: 1, refused: 0, bytes: 2048, oldest: "2026-01-05T08:00:00.000Z" },
    runs: { status: "success", active: 0, agents: 0, waiting: 2, overdue: 0, unkillable: 0 },
    storage: {
      status: "success",
      folders: [{ folder: "runs", path: "/var/rudder/relay/runs", free: 3 * 2 ** 30 }]
    },
    certificates: { status: "success" }
  })

  it("has a line a part, with all figures and details", () => {
    expect(Status.render(parts, undefined)).toEqual([
      "configuration  ok",
      "nodes          error  3 known; 2 mine; loaded: 2026-01-05T09:00:00.000Z; the list can't be read: \\x1b[2J",
      "upstream       ok",
      "outbox         ok     1 waiting; 0 refused; 2.0 KiB; oldest: 2026-01-05T08:00:00.000Z",
      "runs           ok     0 active; 0 agents; 2 waiting; 0 overdue; 0 unkillable",
      "certificates   ok",
      "storage        ok     runs: 3.0 GiB free"
    ])
  })

  it("is wrapped on a terminal, and nothing of it is cut", () => {
    const lines = Status.render(parts, 50)
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(50)
    expect(lines.join(" ").replaceAll(/ +/g, " ")).toContain("the list can't be read")
  })
})

describe("a transfer", () => {
  const transfer = { doing: "sending", done: 25 * 2 ** 20, size: 100 * 2 ** 20, elapsed: 5000 }

  it("says how far it is, how fast, and how long it takes", () => {
    expect(TransferLine.render(transfer, 100)).toBe("sending: 25.0 MiB of 100 MiB (25%), 5.0 MiB/s, 15s left")
    expect(TransferLine.render({ ...transfer, done: 0, elapsed: 0 }, 100)).toBe(
      "sending: 0 B of 100 MiB (0%)"
    )
    expect(TransferLine.render({ ...transfer, done: 0, size: 0, elapsed: 0 }, 100)).toBe(
      "sending: 0 B of 0 B (100%)"
    )
  })

  it("is never wider than the terminal", () => {
    for (const width of [1, 5, 20, 40])
      expect(TransferLine.render(transfer, width).length).toBeLessThanOrEqual(width)
  })
})
