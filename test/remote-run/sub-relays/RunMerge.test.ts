import { Schema } from "effect"
import { describe, expect, it } from "vitest"
import type { NodeEnding } from "../../../src/remote-run/RunEvent.ts"
import { NodeOutcome } from "../../../src/remote-run/RunEvent.ts"
import { RunMerge } from "../../../src/remote-run/sub-relays/RunMerge.ts"

const isOutcome = Schema.is(NodeOutcome)

/** What a run hears of nodes A and B from a sub-relay that says this. */
const hearing = (...lines: ReadonlyArray<string>) => {
  const ends = new Map<string, NodeEnding>()
  const starts: Array<string> = []
  const written: Array<string> = []
  const runs: Array<string> = []
  const merge = new RunMerge({
    relay: "relay",
    nodes: ["A", "B"],
    report: (node) => ({
      start: (hostname) => starts.push(`${node} ${hostname}`),
      write: (_, bytes) => {
        written.push(Buffer.from(bytes).toString("utf8"))
        return true
      },
      end: (ending) => ends.set(node, ending)
    }),
    onRun: (id) => runs.push(id),
    resume: () => {}
  })
  merge.take(lines.map((line) => Buffer.from(line)))
  return { merge, ends, starts, written, runs }
}

const endOf = (fields: string) => `{"event":"end","node":"A",${fields}}`
const well = '"code":0,"duration":1,"stderr":""'

describe("the end of a node, as a sub-relay says it", () => {
  it.each([
    ["an infinite duration", '"code":0,"duration":1e400,"stderr":""'],
    ["a negative duration", '"code":0,"duration":-1,"stderr":""'],
    ["a duration that is no number", '"code":0,"duration":"1","stderr":""'],
    ["a signal of 4 MB", `"code":null,"signal":"${"A".repeat(4_000_000)}","duration":1,"stderr":""`],
    ["a signal with a newline", '"code":null,"signal":"SIGKILL\\n","duration":1,"stderr":""'],
    ["a code that is no whole number", '"code":0.5,"duration":1,"stderr":""'],
    ["an infinite code", '"code":1e400,"duration":1,"stderr":""'],
    ["a code beyond 32 bits", '"code":1e15,"duration":1,"stderr":""'],
    ["no code", '"duration":1,"stderr":""'],
    ["negative bytes that were dropped", `${well},"dropped":-1`],
    ["an infinity of bytes that were dropped", `${well},"dropped":1e400`],
    ["an error without a name", '"code":null,"error":{"_tag":"","message":"x"},"duration":1,"stderr":""'],
    ["an error that is a text", '"code":null,"error":"x","duration":1,"stderr":""']
  ])("with %s is an end with the error, and no other node's", (_, fields) => {
    const { ends, merge } = hearing(
      endOf(fields),
      '{"event":"end","node":"B","code":0,"duration":1,"stderr":""}'
    )
    const ending = ends.get("A")
    expect(ending).toMatchObject({ code: null, error: { _tag: "UpstreamFatal" } })
    expect(ending?.error?.message).toMatch(/^sub-relay relay: its end of this node can't be read: /)
    expect(ending?.error?.message.length).toBeLessThan(400)
    expect(ends.get("B")).toMatchObject({ code: 0 })
    expect(merge.unreadable?.count).toBe(1)
  })

  it("has no field that nobody knows, at any depth", () => {
    const { ends, merge } = hearing(
      endOf(
        '"code":null,"error":{"_tag":"AgentError","message":"m","stack":"s"},"duration":1,"stderr":"","x":{"y":1}'
      )
    )
    expect(ends.get("A")).toEqual({
      code: null,
      error: { _tag: "AgentError", message: "m" },
      duration: 1,
      stderr: ""
    })
    expect(merge.unreadable).toBeUndefined()
  })

  it("is kept within its bounds: the end of stderr, the beginning of a message", () => {
    const { ends } = hearing(
      endOf(
        `"code":null,"error":{"_tag":"AgentError","message":"${"m".repeat(100_000)}"},"duration":1,"stderr":"${"x".repeat(100_000)}z"`
      )
    )
    const ending = ends.get("A")
    expect(ending?.error?.message.length).toBe(1000)
    expect(ending?.stderr).toBe(`${"x".repeat(64 * 1024 - 1)}z`)
    expect(ending?.truncated).toBe(true)
    expect(isOutcome(JSON.parse(JSON.stringify(ending)))).toBe(true)
  })
})

describe("what a sub-relay says that can't be read", () => {
  it.each([
    ["no JSON", "<html>"],
    ["no object", "7"],
    ["a run whose id is none", '{"event":"run","id":"x","nodes":[],"unknown":[],"classes":[]}'],
    ["a start without a host name", '{"event":"start","node":"A"}'],
    ["a start on a host of 4 MB", `{"event":"start","node":"A","hostname":"${"h".repeat(4_000_000)}"}`],
    ["an output of no stream", '{"event":"output","node":"A","stream":"stdin","line":"x"}'],
    [
      "an output that is not base64",
      '{"event":"output","node":"A","stream":"stdout","line":"x","base64":"*"}'
    ],
    ["an end of nobody", `{"event":"end",${well}}`]
  ])("(%s) is ignored and counted", (_, line) => {
    const { merge, ends, starts, written, runs } = hearing(line, line)
    expect([ends.size, starts.length, written.length, runs.length]).toEqual([0, 0, 0, 0])
    expect(merge.unreadable?.count).toBe(2)
    expect(merge.unreadable?.first.length).toBeLessThanOrEqual(220)
    expect(merge.done).toBe(false)
  })

  it("is not what a newer relay says besides", () => {
    const { merge, starts } = hearing(
      '{"event":"ping"}',
      '{"event":"batch","number":2}',
      "",
      '{"event":"start","node":"A","hostname":"a.example.com","batch":2}'
    )
    expect(merge.unreadable).toBeUndefined()
    expect(starts).toEqual(["A a.example.com"])
  })
})
