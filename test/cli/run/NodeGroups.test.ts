/** Which nodes are alike. */
import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { NodeGroups } from "../../../src/cli/run/NodeGroups.ts"
import type { NodeOutcome } from "../../../src/remote-run/RunEvent.ts"
import type { OutputEvent, RunStreamEvent } from "../../../src/remote-run/RunStreamEvent.ts"

const output = (node: string, line: string, more: Partial<OutputEvent> = {}): RunStreamEvent => ({
  event: "output",
  node,
  stream: "stdout",
  line,
  ...more
})
const end = (node: string, more: Partial<NodeOutcome> = {}): RunStreamEvent => ({
  event: "end",
  node,
  code: 0,
  duration: 1,
  stderr: "",
  ...more
})
const done: RunStreamEvent = { event: "done", ok: 0, failed: 0, duration: 1 }

const grouped = (
  events: ReadonlyArray<RunStreamEvent>,
  options: ConstructorParameters<typeof NodeGroups>[0] = { byOutput: true }
) => {
  const groups = new NodeGroups(options)
  for (const event of events) groups.meet(event)
  return groups.all()
}
const nodesOf = (events: ReadonlyArray<RunStreamEvent>) => grouped(events).map(({ nodes }) => nodes)

describe("nodes", () => {
  it("are alike that printed the same and ended in the same way, the largest group first, failures last", () => {
    const events = [
      ...["a", "b", "c"].flatMap((node) => [output(node, "x"), end(node, { code: 1, stderr: "no\n" })]),
      ...["d", "e"].flatMap((node) => [output(node, "x"), end(node)]),
      output("f", "y"),
      end("f"),
      end("g", { code: null, skipped: true }),
      output("h", "x"),
      end("h", { code: 1, stderr: "other\n" })
    ]
    expect(nodesOf(events)).toEqual([["d", "e"], ["f"], ["g"], ["a", "b", "c"], ["h"]])
    expect(grouped(events, { byOutput: false }).map(({ nodes }) => nodes)).toEqual([
      ["d", "e", "f"],
      ["g"],
      ["a", "b", "c"],
      ["h"]
    ])
  })

  it("are told apart by bytes: by a newline at the end, by what is not UTF-8, and not by where a line was cut", () => {
    const bytes = (...some: ReadonlyArray<number>) => ({ base64: Buffer.from(some).toString("base64") })
    const events = [
      output("whole", "ab"),
      output("cut", "a", { partial: true }),
      output("cut", "b"),
      output("open", "ab", { unterminated: true }),
      output("one", "\ufffd", bytes(0xff)),
      output("two", "\ufffd", bytes(0xfe)),
      ...["whole", "cut", "open", "one", "two", "silent"].map((node) => end(node))
    ]
    expect(nodesOf(events)).toEqual([["whole", "cut"], ["open"], ["one"], ["two"], ["silent"]])
  })

  it("of an older relay, whose ends are not told, are one group of lines", () => {
    const [group] = grouped([output("edge", "lines of all its nodes"), done])
    expect(group).toMatchObject({ nodes: ["edge"], verdict: undefined })
  })

  it("have the end of their stderr held once a group, and only up to a bound", () => {
    const events = ["aaaa", "aaaa", "bbbb", "cccc"].map((stderr, at) => end(`n${at}`, { code: 1, stderr }))
    expect(grouped(events, { byOutput: true, maxStderr: 8 }).map(({ stderr }) => stderr)).toEqual([
      "aaaa",
      "bbbb",
      undefined
    ])
  })

  const node = fc.record({
    lines: fc.array(fc.constantFrom("x", "y", ""), { maxLength: 3 }),
    code: fc.nat(1)
  })
  it.prop(
    "each stand in one group, with all that are like them",
    [fc.array(node, { maxLength: 20 })],
    ([some]) => {
      const events = some.flatMap(({ lines, code }, at) => [
        ...lines.map((line) => output(`${at}`, line)),
        end(`${at}`, { code })
      ])
      const groups = grouped(events)
      const like = new Map<string, Array<string>>()
      for (const [at, one] of some.entries()) {
        const key = JSON.stringify(one)
        like.set(key, [...(like.get(key) ?? []), `${at}`])
      }
      const sorted = (all: Iterable<ReadonlyArray<string>>) => Array.from(all, (nodes) => nodes.join()).sort()
      expect(sorted(groups.map(({ nodes }) => nodes))).toEqual(sorted(like.values()))
    }
  )
})
