/** Events as lines. */
import { describe, expect, it } from "@effect/vitest"
import * as LiveLines from "../../../src/cli/run/LiveLines.ts"
import { NodeLabels } from "../../../src/cli/run/NodeLabels.ts"

const screen = { isTerminal: false, colours: false, width: () => 80 }

describe("a run's events, as they come", () => {
  it("are lines of nodes by their names, each on the stream that it was printed to, and failures", () => {
    const labels = new NodeLabels(new Map([["a", "a.example.com"]]))
    const lines = LiveLines.of(
      [
        { event: "run", id: "0190", nodes: ["a", "b"], unknown: [], classes: [] },
        { event: "output", node: "a", stream: "stdout", line: "one\u001b[2J" },
        { event: "output", node: "b", stream: "stderr", line: "two" },
        { event: "end", node: "a", code: 0, duration: 1, stderr: "" },
        { event: "end", node: "b", code: null, timeout: true, duration: 1, stderr: "two" },
        { event: "end", node: "c", code: null, skipped: true, duration: 0, stderr: "" },
        { event: "ping" }
      ],
      labels,
      screen
    )
    expect(lines).toEqual({
      stdout: "a.example.com: one\n",
      stderr: "b: two\nrudder-relay: b: timed out\n"
    })
  })
})

describe("a node", () => {
  it("is called by its host name, unless that is none or several have it", () => {
    const labels = new NodeLabels(
      new Map([
        ["a", "a.example.com"],
        ["b", "same.example.com"],
        ["c", "\u001b[2J"]
      ])
    )
    expect(["a", "b", "c", "d"].map((node) => labels.of(node))).toEqual([
      "a.example.com",
      "same.example.com",
      "c",
      "d"
    ])
    labels.learn("d", "same.example.com")
    labels.learn("e", "same.example.com")
    labels.learn("a", "a.example.com")
    expect(["a", "b", "d", "e"].map((node) => labels.of(node))).toEqual(["a.example.com", "b", "d", "e"])
  })
})
