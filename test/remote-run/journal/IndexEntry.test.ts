import { crc32 } from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import * as IndexEntry from "../../../src/remote-run/journal/IndexEntry.ts"
import { RunId } from "../../../src/remote-run/RunId.ts"

const id = RunId.make("019b8d6a-8b4c-7d3e-9f10-0123456789ab")

const decoded = (bytes: Buffer, at = 0): IndexEntry.IndexEntry => {
  const entry = IndexEntry.decode(bytes, at)
  if (typeof entry === "string") throw new Error(`it is ${entry}`)
  return entry
}

const text = FastCheck.string({ maxLength: 40 })

describe("entries of an index", () => {
  it.effect.prop(
    "say whose they are, who asked, and which nodes are among those of the run",
    { actor: text, nodes: FastCheck.uniqueArray(text, { maxLength: 20 }), other: text },
    ({ actor, nodes, other }) =>
      Effect.sync(() => {
        const [bytes = Buffer.alloc(0), ...more] = IndexEntry.nodesOf(id, actor, nodes)
        const entry = decoded(bytes)
        expect(more).toEqual([])
        expect(entry.end).toBe(bytes.length)
        expect(IndexEntry.idOf(entry)).toBe(id)
        expect(IndexEntry.actorOf(entry)).toBe(Buffer.from(actor).toString("utf8"))
        for (const node of [...nodes, other])
          expect(IndexEntry.hasNode(entry, IndexEntry.fingerprint(node))).toBe(nodes.includes(node))
      })
  )

  it("have no node that is a part of one, of two of them, or of what is behind them", () => {
    const [one, two] = [IndexEntry.fingerprint("a"), IndexEntry.fingerprint("b")]
    const [bytes = Buffer.alloc(0)] = IndexEntry.nodesOf(id, "ann", ["a", "b"])
    const entry = decoded(Buffer.concat([bytes, IndexEntry.fingerprint("c")]))
    const halves = [one.subarray(0, 4), one.subarray(4), two.subarray(0, 4), two.subarray(4)]
    for (const [high, low] of [
      [0, 3],
      [2, 1],
      [1, 2],
      [1, 0]
    ] as const)
      expect(IndexEntry.hasNode(entry, Buffer.concat([halves[high] ?? one, halves[low] ?? one]))).toBe(false)
    expect(IndexEntry.hasNode(entry, IndexEntry.fingerprint("c"))).toBe(false)
    expect(IndexEntry.hasNode(entry, two)).toBe(true)
  })

  it("of a run for very many nodes are several, none of them long, and each node is in one", () => {
    const nodes = Array.from({ length: 100_000 }, (_, i) => `n${i}`)
    const entries = Array.from(IndexEntry.nodesOf(id, "a", nodes), (bytes) => decoded(bytes))
    expect(entries.map(({ first }) => first).indexOf(false)).toBe(1)
    expect(entries.map(({ last }) => last).indexOf(true)).toBe(entries.length - 1)
    expect(Math.max(...entries.map(({ end }) => end))).toBeLessThan(64 * 1024)
    for (const node of ["n0", "n4095", "n4096", "n99999"]) {
      const holders = entries.filter((entry) => IndexEntry.hasNode(entry, IndexEntry.fingerprint(node)))
      expect(holders.length).toBe(1)
    }
  })

  it("without room for what they say first are none, though their sums are right", () => {
    const [whole = Buffer.alloc(0)] = IndexEntry.nodesOf(id, "ann", [])
    /** With so many bytes of the body behind the header. */
    const cut = (length: number) => {
      const bytes = Buffer.from(whole.subarray(0, 16 + length))
      bytes.writeUInt32BE(length, 8)
      bytes.writeUInt32BE(crc32(bytes.subarray(16)), 12)
      return bytes
    }
    const all = whole.length - 16
    expect(decoded(cut(all)).end).toBe(whole.length)
    for (let length = 36; length < all; length++)
      for (const behind of [Buffer.alloc(0), whole])
        expect(IndexEntry.decode(Buffer.concat([cut(length), behind]), 0)).toBe("damaged")
  })

  it("share no fingerprint among a hundred thousand nodes", () => {
    const prints = Array.from({ length: 100_000 }, (_, i) =>
      IndexEntry.fingerprint(`node-${i}`).toString("hex")
    )
    expect(new Set(prints).size).toBe(prints.length)
  })

  it.effect.prop(
    "are found behind what is none, and one that was cut or changed is none",
    {
      before: FastCheck.uint8Array({ maxLength: 50 }),
      json: text,
      changed: FastCheck.nat()
    },
    ({ before, json, changed }) =>
      Effect.sync(() => {
        const whole = IndexEntry.summaryOf(id, json)
        const bytes = Buffer.concat([before, whole])
        let at = 0
        while (typeof IndexEntry.decode(bytes, at) === "string") at = IndexEntry.nextAfter(bytes, at)
        expect(IndexEntry.jsonOf(decoded(bytes, at)) ?? "").toBe(Buffer.from(json).toString("utf8"))
        for (let length = 0; length < whole.length; length++)
          expect(IndexEntry.decode(whole.subarray(0, length), 0)).toBe("short")
        const body = 16 + (changed % (whole.length - 16))
        whole.writeUInt8(whole.readUInt8(body) ^ 1, body)
        expect(IndexEntry.decode(whole, 0)).toBe("damaged")
      })
  )
})
