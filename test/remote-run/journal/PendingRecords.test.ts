import { describe, expect, it } from "@effect/vitest"
import { decodeRecord, Kind, recordLength } from "../../../src/remote-run/journal/JournalRecord.ts"
import type { OutputAccount } from "../../../src/remote-run/journal/JournalSource.ts"
import { encode, PendingRecords } from "../../../src/remote-run/journal/PendingRecords.ts"

const whole = { continued: false, open: false }
const event = (node: string, previous = 0) => ({
  kind: Kind.end,
  node,
  previous,
  flags: whole,
  account: undefined
})
const output = (node: string, account: OutputAccount, previous = 0, flags = whole) => ({
  kind: Kind.stdout,
  node,
  previous,
  flags,
  account
})

/** What a reader finds in bytes that begin at `from`. */
const read = (bytes: Buffer, from = 0) => {
  const found = []
  for (let at = 0; at < bytes.length; ) {
    const record = decodeRecord(bytes, at)
    if (record === undefined) throw new Error(`no record at ${at}`)
    const { kind, previous, node, payload } = record
    found.push({ at: from + at, kind, previous, node: node.toString(), text: payload.toString() })
    at += recordLength(record)
  }
  return found
}

describe("records on their way to a journal's file", () => {
  it("begin where they said that they would", () => {
    const pending = new PendingRecords(() => true)
    const first = pending.add(event("A"), Buffer.from("{}"))
    const second = pending.add(event("A", first), Buffer.from("[1]"))
    expect(read(encode(pending.take()))).toEqual([
      { at: first, kind: Kind.end, previous: 0, node: "A", text: "{}" },
      { at: second, kind: Kind.end, previous: first, node: "A", text: "[1]" }
    ])
    expect(pending.isEmpty).toBe(true)
  })

  it("are one where whole lines of one log follow each other, up to 64 KiB", () => {
    const pending = new PendingRecords(() => true)
    const [mine, others] = [{ dropped: 0 }, { dropped: 0 }]
    const first = pending.add(output("A", mine), Buffer.from("a\n"))
    expect(pending.add(output("A", mine, first), Buffer.from("b\n"))).toBe(first)
    // The same id, but not the same log.
    expect(pending.add(output("A", others), Buffer.from("c\n"))).toBeGreaterThan(first)
    const part = pending.add(output("A", others, 0, { continued: false, open: true }), Buffer.from("part"))
    expect(
      pending.add(output("A", others, part, { continued: true, open: false }), Buffer.from("\n"))
    ).not.toBe(part)
    pending.add(output("A", mine), Buffer.alloc(64 * 1024, "x"))
    pending.add(output("A", mine), Buffer.from("y"))
    const texts = read(encode(pending.take())).map(({ text }) => text.slice(0, 10))
    expect(texts).toEqual(["a\nb\n", "c\n", "part", "\n", "xxxxxxxxxx", "y"])
  })

  it("lose their output where no file takes them, and the events are linked past it", () => {
    // What was written ends here.
    const written = 10_000
    const account = { dropped: 0 }
    const failing = new PendingRecords((offset) => offset < written)
    for (let at = 0; at < written; ) at = failing.add(event("before"), Buffer.alloc(1000, "x"))
    failing.take()
    const lines = failing.add(output("A", account, 500), Buffer.from("lost\n"))
    const end = failing.add(event("A", lines), Buffer.from("{}"))
    const batch = failing.take()
    const later = failing.add(output("B", account), Buffer.from("lost too\n"))
    failing.add(event("B", later), Buffer.from("{}"))
    failing.add(event("A", end), Buffer.from("[]"))

    const events = failing.eventsOf(batch, written)
    expect(read(events, written)).toMatchObject([{ at: written, node: "A", previous: 500, text: "{}" }])
    expect(failing.continueAt(written + events.length)).toBe("lost too\n".length)
    const rest = failing.eventsOf(failing.take(), written + events.length)
    expect(read(rest, written + events.length)).toMatchObject([
      { at: written + events.length, node: "B", previous: 0 },
      { node: "A", previous: written, text: "[]" }
    ])
    expect(account.dropped).toBe("lost\nlost too\n".length)
  })
})
