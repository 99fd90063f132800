import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { LineCutter } from "../../../src/remote-run/sub-relays/LineCutter.ts"
import * as RunForms from "../../../src/remote-run/sub-relays/RunForms.ts"

describe("the forms of a run", () => {
  it("are one where it fits, in the way of existing relays", () => {
    expect(RunForms.make(["A", "B.c_-"], ["x", "y_1"]).map(({ body }) => body)).toEqual([
      "nodes=A%2CB.c_-&classes=x%2Cy_1&asynchronous=true&keep_output=true"
    ])
  })

  it("say who asks and why, where somebody said so", () => {
    expect(RunForms.make(["A"], [], { actor: "jane & co", reason: "CHG 7" }).map(({ body }) => body)).toEqual(
      ["nodes=A&classes=&asynchronous=true&keep_output=true&actor=jane+%26+co&reason=CHG+7"]
    )
    const nodes = Array.from({ length: 30_000 }, (_, i) => `node-of-a-long-name-${i}`)
    const forms = RunForms.make(nodes, [], { actor: "🦊".repeat(200), reason: "🦊".repeat(200) })
    expect(forms.flatMap((form) => form.nodes)).toEqual(nodes)
    for (const { body } of forms) expect(body.length).toBeLessThanOrEqual(1024 * 1024)
  })

  it("are as few as hold every node once, in order, and none is over 1 MiB", () => {
    const id = FastCheck.stringMatching(/^[A-Za-z0-9._-]{1,200}$/)
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(id, { minLength: 1, maxLength: 20 }),
        FastCheck.integer({ min: 1, max: 30_000 }),
        FastCheck.integer({ min: 0, max: 100 }),
        (ids, count, classes) => {
          const nodes = Array.from({ length: count }, (_, i) => `${ids[i % ids.length]}${i}`)
          const forms = RunForms.make(
            nodes,
            Array.from({ length: classes }, (_, i) => `class_${i}`.padEnd(1000, "x"))
          )
          const decoded = forms.map(({ body }) => new URLSearchParams(body).get("nodes")?.split(",") ?? [])
          expect(decoded.flat()).toEqual(nodes)
          expect(forms.map((form) => form.nodes)).toEqual(decoded)
          for (const { body } of forms) expect(body.length).toBeLessThanOrEqual(1024 * 1024)
          for (const [i, { body }] of forms.entries()) {
            const next = forms[i + 1]?.nodes[0]
            if (next !== undefined) expect(body.length + next.length + 6).toBeGreaterThan(1024 * 1024)
          }
        }
      ),
      { numRuns: 20 }
    )
  })
})

describe("lines", () => {
  it("are the same, however their bytes come", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(FastCheck.stringMatching(/^[a-z\n]{0,9}$/)), (chunks) => {
        const cutter = new LineCutter(1000)
        const lines = chunks.flatMap((chunk) => [...(cutter.push(Buffer.from(chunk)) ?? [])])
        expect(lines.map((line) => line.toString())).toEqual(chunks.join("").split("\n").slice(0, -1))
      })
    )
  })

  it("have a bound, also one that does not end", () => {
    expect(new LineCutter(3).push(Buffer.from("abc\nabcd\n"))).toBe(undefined)
    const cutter = new LineCutter(3)
    expect(cutter.push(Buffer.from("ab"))).toEqual([])
    expect(cutter.push(Buffer.from("cd"))).toBe(undefined)
  })
})
