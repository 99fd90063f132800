import { Either } from "effect"
import { describe, expect, it } from "vitest"
import * as OutputParameters from "../../src/remote-run/OutputParameters.ts"

const decode = (query: string) => OutputParameters.decode(new URLSearchParams(query), undefined)

describe("the parameters of a run's output", () => {
  it("are everything from the start, as text, where none is given", () => {
    expect(decode("")).toEqual(
      Either.right({ format: "text", nodes: undefined, stream: undefined, state: undefined, from: 0 })
    )
  })

  it("are nodes, a stream, a state and a number of events", () => {
    expect(decode("format=ndjson&node=A,B,A&stream=stderr&state=failed&from=17")).toEqual(
      Either.right({
        format: "ndjson",
        nodes: new Set(["A", "B"]),
        stream: "stderr",
        state: "failed",
        from: 17
      })
    )
  })

  it.each([
    ["node", "node=", "a comma list of node ids"],
    ["node", "node=A,,B", "a comma list of node ids"],
    ["node", "node=A/B", "a comma list of node ids"],
    ["stream", "stream=", "stdout or stderr"],
    ["stream", "stream=STDOUT", "stdout or stderr"],
    ["state", "state=", "ok, failed, skipped, unreported, ended, running, waiting"],
    ["state", "state=Failed", "ok, failed, skipped, unreported, ended, running, waiting"],
    ["from", "from=", "a whole number of events, 0 or more"],
    ["from", "from=-1", "a whole number of events, 0 or more"],
    ["from", "from=1e3", "a whole number of events, 0 or more"],
    ["from", "from=9999999999999999", "a whole number of events, 0 or more"],
    ["from", "from=99999999999999999", "a whole number of events, 0 or more"],
    ["format", "format=xml", "text or ndjson or raw or sse"]
  ])("name %s where it is wrong: %s", (parameter, query, expected) => {
    expect(decode(query)).toMatchObject(
      Either.left({
        _tag: "InvalidRequest",
        parameter,
        message: expect.stringContaining(`${parameter}: expected ${expected}, got "`)
      })
    )
  })

  it.each(["node", "stream", "state", "from"])("has %s once", (name) => {
    expect(decode(`${name}=1&${name}=1`)).toMatchObject(Either.left({ parameter: name }))
  })
})

describe("the last event that a client has", () => {
  it.each([
    [undefined, 0],
    ["", 0],
    ["0", 0],
    ["1543", 1543]
  ])("is %s: %s", (text, id) => {
    expect(OutputParameters.decodeLastEventId(text)).toEqual(Either.right(id))
  })

  it.each(["abc", "-1", "1.5", "1e3", "0x10", " 5", "+5", "9999999999999999"])("is not %s", (text) => {
    expect(OutputParameters.decodeLastEventId(text)).toMatchObject(
      Either.left({ parameter: "Last-Event-ID", message: "Last-Event-ID: expected a whole number" })
    )
  })
})
