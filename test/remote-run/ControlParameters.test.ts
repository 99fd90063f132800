import { Duration, Either } from "effect"
import { describe, expect, it } from "vitest"
import * as RunParameters from "../../src/remote-run/RunParameters.ts"

const route = { method: "POST", versioned: true, old: true, accept: undefined }

const decode = (query: string, form = "", over: Partial<RunParameters.RunRoute> = {}) =>
  RunParameters.decode({ ...route, ...over }, new URLSearchParams(query), new URLSearchParams(form))

const accepted = (query: string, form = "", over: Partial<RunParameters.RunRoute> = {}) =>
  Either.getOrThrowWith(decode(query, form, over), (error) => new Error(error.message))

const refused = (query: string, form = "", over: Partial<RunParameters.RunRoute> = {}) =>
  Either.match(decode(query, form, over), { onLeft: (error) => error, onRight: () => undefined })

const count = (nodes: number) => ({ _tag: "Count", nodes })
const percent = (thousandths: number) => ({ _tag: "Percent", thousandths })

describe("how a run goes on", () => {
  it.each([
    ["batch=20", { batch: count(20) }],
    ["batch=10%25", { batch: percent(10_000) }],
    ["batch=0.5%25", { batch: percent(500) }],
    ["batch=33.333%25", { batch: percent(33_333) }],
    ["canary=1", { canary: count(1) }],
    ["canary=100%25", { canary: percent(100_000) }],
    ["max_failures=0", { maxFailures: count(0) }],
    ["max_failures=0%25", { maxFailures: percent(0) }],
    ["max_failures=5%25", { maxFailures: percent(5000) }],
    ["batch_wait=30", { batchWait: Duration.seconds(30) }],
    ["batch_wait=1h 30m", { batchWait: Duration.minutes(90) }],
    ["splay=0", { splay: Duration.zero }],
    ["splay=7days", { splay: Duration.days(7) }]
  ])("%s", (query, control) => {
    expect(accepted(query).control).toEqual(control)
    expect(accepted("", query.replaceAll(" ", "+")).control).toEqual(control)
    // They count beside the names of older relays too.
    expect(accepted(`keep_output=true&${query}`)).toMatchObject({ v1: true, control })
  })

  it.each([
    "batch=",
    "batch=0",
    "batch=-1",
    "batch=1.5",
    "batch=1e3",
    "batch=0%25",
    "batch=0.000%25",
    "batch=101%25",
    "batch=100.001%25",
    "batch=1.2345%25",
    "batch=10%25%25",
    "batch=%25",
    "batch= 5",
    "batch=9999999999",
    "canary=0",
    "canary=all",
    "max_failures=-1",
    "max_failures=none",
    "batch_wait=",
    "batch_wait=soon",
    "batch_wait=8days",
    "batch_wait=-5",
    "batch_wait=Infinity",
    "splay=1 fortnight",
    "splay=99999999999999999999999h",
    "preview=",
    "preview=true",
    "preview=YES",
    "actor=a%0Ab",
    "actor=%1b[31m",
    "reason=%E2%80%AE",
    `reason=${"x".repeat(201)}`,
    "batch=1&batch=2"
  ])("%s is refused, and the parameter is named", (query) => {
    const name = query.split("=")[0]
    expect(refused(query)).toMatchObject({ _tag: "InvalidRequest", parameter: name })
    expect(refused("", query)).toMatchObject({ parameter: name })
    expect(refused(`keep_output=true&${query}`)).toMatchObject({ parameter: name })
    expect(refused(query)?.message).toMatch(new RegExp(`^${name}: (expected|given twice)`))
  })
})

describe("who asks and why", () => {
  it("are the caller's own words, up to 200 characters of any script", () => {
    const actor = "Zoë 🦊 <zoe@example.com>"
    const reason = "🦊".repeat(200)
    expect(accepted(`actor=${encodeURIComponent(actor)}&reason=${encodeURIComponent(reason)}`)).toMatchObject(
      {
        actor,
        reason
      }
    )
  })

  it("may be left empty", () => {
    const parameters = accepted("actor=&reason=")
    expect([parameters.actor, parameters.reason]).toEqual([undefined, undefined])
  })
})

describe("the dialect", () => {
  it.each([
    "batch=1",
    "batch_wait=1s",
    "canary=1",
    "max_failures=0",
    "splay=1s",
    "preview=yes",
    "actor=a",
    "reason=b"
  ])("of a POST under /1/ with %s alone is not the older one", (query) => {
    expect(accepted(query)).toMatchObject({ v1: false, format: "text" })
    expect(accepted("", query)).toMatchObject({ v1: false, format: "text" })
    expect(accepted("", `${query}&asynchronous=true`)).toMatchObject({ v1: true, async: true })
  })
})

describe("a parameter that is none of a route's", () => {
  it.each([
    ["previev=yes", "preview"],
    ["preview%20=yes", "preview"],
    ["Preview=yes", "preview"],
    ["maxfailures=1", "max_failures"],
    ["max-failures=1", "max_failures"],
    ["class=a", "classes"],
    ["batchwait=1s", "batch_wait"]
  ])("%s is refused, and the nearest is named", (query, meant) => {
    const name = decodeURIComponent(query.split("=")[0] ?? "")
    for (const error of [refused(query), refused("", query), refused("batch=1", query)])
      expect(error).toMatchObject({
        _tag: "InvalidRequest",
        parameter: name,
        message: `${name}: this route has no such parameter; expected perhaps ${meant}`
      })
  })

  it("is refused with all that there are, where none is near", () => {
    expect(refused("colour=red")?.message).toContain("max_failures")
  })

  it("are nodes, where the route says which they are", () => {
    expect(refused("nodes=A")).toMatchObject({ parameter: "nodes" })
    expect(accepted("nodes=A", "", { more: ["nodes"] }).nodes).toEqual(["A"])
  })

  it.each(["keep_output=true", "asynchronous=false"])("is ignored beside %s, and named", (flag) => {
    expect(accepted(`${flag}&colour=red&previev=yes`)).toMatchObject({
      v1: true,
      preview: false,
      ignored: ["colour", "previev"]
    })
    expect(accepted("colour=red", flag).ignored).toEqual(["colour"])
  })
})
