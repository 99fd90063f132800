import { FastCheck } from "effect"
import { describe, expect, it } from "vitest"
import { NodeId } from "../../src/NodeId.ts"
import { routeTo } from "../../src/topology/Route.ts"

const id = (text: string) => NodeId.make(text)

/** Any list: who is whose policy server, loops, self-loops and ids that are not there included. */
const lists = FastCheck.dictionary(
  FastCheck.constantFrom("me", "a", "b", "c", "d", "e", "f"),
  FastCheck.constantFrom("me", "root", "a", "b", "c", "d", "e", "f", "gone")
)

const of = (list: Record<string, string>) => (node: NodeId) => {
  const server = Object.hasOwn(list, node) ? list[node] : undefined
  return server === undefined ? undefined : id(server)
}

describe("a route", () => {
  it("starts at me, ends at the node, and each step is the next one's policy server", () => {
    FastCheck.assert(
      FastCheck.property(lists, FastCheck.constantFrom("a", "b", "c", "d", "me", "gone"), (list, target) => {
        const route = routeTo(id("me"), id(target), of(list))
        if (route._tag === "Mine") expect(list[target]).toBe("me")
        if (route._tag !== "Behind") return
        const steps = ["me", ...route.relays, target]
        for (let i = 1; i < steps.length; i++) expect(list[steps[i] ?? ""]).toBe(steps[i - 1])
      })
    )
  })

  it("is found whenever the node's chain of policy servers leads to me", () => {
    FastCheck.assert(
      FastCheck.property(lists, FastCheck.constantFrom("a", "b", "c"), (list, target) => {
        const seen = new Set<string>()
        let at: string | undefined = target
        while (at !== undefined && at !== "me" && !seen.has(at)) {
          seen.add(at)
          at = list[at]
        }
        const leadsToMe = at === "me" && list[target] !== undefined
        expect(routeTo(id("me"), id(target), of(list))._tag !== "Unknown").toBe(leadsToMe)
      })
    )
  })

  it.each([
    [20, "Behind"],
    [21, "Unknown"]
  ])("over %i relays is %s", (hops, tag) => {
    const list = Object.fromEntries(
      Array.from({ length: hops }, (_, i) => [`r${i}`, i === 0 ? "me" : `r${i - 1}`])
    )
    expect(routeTo(id("me"), id("n"), of({ ...list, n: `r${hops - 1}` }))._tag).toBe(tag)
  })

  it("of root on root is its own", () => {
    expect(routeTo(id("root"), id("root"), of({ root: "root" }))._tag).toBe("Mine")
  })

  it("of a relay that has itself in its list, above it, is none", () => {
    expect(routeTo(id("me"), id("me"), of({ me: "root", root: "root" }))._tag).toBe("Unknown")
  })
})
