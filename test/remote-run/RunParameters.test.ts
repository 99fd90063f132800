import { Either } from "effect"
import { describe, expect, it } from "vitest"
import * as RunParameters from "../../src/remote-run/RunParameters.ts"

const route = { method: "POST", versioned: false, old: true, accept: undefined, more: ["nodes"] }

const decode = (query: string, form = "", over: Partial<RunParameters.RunRoute> = {}) =>
  RunParameters.decode({ ...route, ...over }, new URLSearchParams(query), new URLSearchParams(form))

const accepted = (query: string, form = "", over: Partial<RunParameters.RunRoute> = {}) =>
  Either.getOrThrowWith(decode(query, form, over), (error) => new Error(error.message))

const refused = (query: string, form = "") =>
  Either.match(decode(query, form), { onLeft: (error) => error.parameter, onRight: () => "accepted" })

describe("parameters of a run", () => {
  it("have the contract's defaults", () => {
    expect(accepted("")).toEqual({
      output: "discard",
      async: false,
      classes: [],
      nodes: undefined,
      format: "text",
      control: {},
      preview: false,
      ignored: [],
      v1: false,
      given: new Map()
    })
  })

  it.each([
    ["output=keep&async=yes", { output: "keep", async: true, v1: false }],
    ["keep_output=True&asynchronous=TRUE", { output: "keep", async: true, v1: true }],
    ["keep_output=false", { output: "discard", async: false, v1: true }],
    ["conditions=a,b", { classes: ["a", "b"], v1: false }],
    ["classes=", { classes: [] }],
    ["classes=a,,b,a", { classes: ["a", "b"] }],
    ["nodes=A,B&nodes=B,%20C,", { nodes: ["A", "B", "C"] }],
    ["format=ndjson", { format: "ndjson" }],
    ["format=raw", { format: "raw", v1: false }]
  ])("%s", (query, expected) => {
    expect(accepted(query)).toMatchObject(expected)
    expect(accepted("", query)).toMatchObject(expected)
  })

  it("take the body's word over the query's", () => {
    expect(accepted("output=keep&classes=a&nodes=A", "classes=b&nodes=B")).toMatchObject({
      output: "keep",
      classes: ["b"],
      nodes: ["B"]
    })
  })

  it.each([
    ["conditions=a&classes=b", ["a"]],
    ["classes=b&conditions=a", ["a"]],
    ["conditions=a&classes=", ["a"]],
    ["conditions=&classes=b", []]
  ])("%s: conditions count, as in relayd", (query, classes) => {
    expect(accepted(query).classes).toEqual(classes)
    expect(accepted("", query).classes).toEqual(classes)
  })

  it("take the body's classes, whatever the query calls them", () => {
    expect(accepted("conditions=a", "classes=b").classes).toEqual(["b"])
    expect(accepted("classes=a", "conditions=b").classes).toEqual(["b"])
    expect(accepted("conditions=a", "classes=").classes).toEqual([])
  })

  it.each([
    ["output=discard", "keep_output=true", "output"],
    ["output=keep", "keep_output=true", "output"],
    ["async=no", "asynchronous=true", "async"]
  ])("refuse %s beside %s", (one, other, parameter) => {
    expect(refused(`${one}&${other}`)).toBe(parameter)
    expect(refused("", `${other}&${one}`)).toBe(parameter)
    expect(refused(one, other)).toBe(parameter)
    expect(refused(other, one)).toBe(parameter)
  })

  it.each([
    ["async=yes&async=yes", "async=no", "async"],
    ["reason=a&reason=a", "", "reason"]
  ])("refuse %s in the query, whatever the body says", (query, form, parameter) => {
    expect(refused(query, form)).toBe(parameter)
  })

  it.each([
    ["async=maybe", "async"],
    ["output=yes", "output"],
    ["keep_output=1", "keep_output"],
    ["asynchronous=", "asynchronous"],
    ["format=sse", "format"],
    ["format=html", "format"],
    ["classes=a;reboot", "classes"],
    ["classes=$(reboot)", "classes"],
    ["classes=-x", "classes"],
    ["classes=_a", "classes"],
    ["classes=a%20b", "classes"],
    ["classes=a%0Ab", "classes"],
    ["classes=é", "classes"],
    [`classes=${"a".repeat(1025)}`, "classes"],
    [`classes=${"abcdefghi,".repeat(11_000)}`, "classes"],
    ["conditions=a%60id%60", "conditions"],
    ["nodes=a/b", "nodes"],
    ["nodes=..", "nodes"],
    ["nodes=a%2fb", "nodes"],
    [`nodes=${"a".repeat(201)}`, "nodes"],
    ["async=yes&async=yes", "async"],
    ["classes=a&classes=b", "classes"]
  ])("refuse %s", (query, parameter) => {
    expect(refused(query)).toBe(parameter)
    expect(refused("", query)).toBe(parameter)
  })

  it("accept a class of 1024 characters", () => {
    expect(accepted(`classes=${"a".repeat(1024)}`).classes.length).toBe(1)
  })

  it.each([
    ["POST", true, true, "", "raw", true],
    ["POST", true, true, "classes=a", "raw", true],
    ["POST", true, true, "async=no", "text", false],
    ["POST", true, true, "format=text", "text", false],
    ["POST", false, true, "", "text", false],
    ["GET", true, true, "", "text", false],
    ["POST", true, false, "", "text", false],
    ["GET", false, false, "keep_output=true", "raw", true],
    ["POST", true, true, "keep_output=true&format=ndjson", "ndjson", true]
  ])("%s, under /1/: %s, old route: %s, %s: %s", (method, versioned, old, query, format, v1) => {
    expect(accepted(query, "", { method, versioned, old })).toMatchObject({ format, v1 })
  })

  it.each([
    ["application/x-ndjson", "ndjson"],
    ["text/html, application/x-ndjson;q=0.9", "ndjson"],
    ["text/plain", "text"],
    ["*/*", "raw"],
    ["text/event-stream", "raw"],
    ["text/event-stream, application/x-ndjson", "ndjson"],
    ["text/plain;q=0.5, application/x-ndjson", "ndjson"],
    ["application/x-ndjson;q=0, */*", "raw"]
  ])("Accept: %s in the v1 dialect is %s", (accept, format) => {
    expect(accepted("keep_output=true", "", { accept }).format).toBe(format)
  })
})
