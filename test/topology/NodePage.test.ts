import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { nodesOf, type Tree } from "../../src/testing/Topology.ts"
import * as NodePage from "../../src/topology/NodePage.ts"

const hash = `sha256:${"0".repeat(64)}`
const tree: Tree = {
  web2: { hostname: "Web2.example.com", keyHash: hash },
  web1: { hostname: "web1.example.com", keyHash: "none" },
  relay: { hostname: "relay.example.com" },
  db: { hostname: "db.example.com", relays: ["relay", "lower"], keyHash: hash }
}
const all = { limit: 50, after: Option.none(), match: Option.none() }
const nodes = nodesOf(tree)

const idsOf = (selection: Partial<NodePage.NodeSelection>, of = nodes) =>
  Effect.map(NodePage.make(of, { ...all, ...selection }), (page) => page.nodes.map(({ node }) => node))

describe("a page of nodes", () => {
  it.effect("shows nodes by their ids: host name, way, and whether a key is known", () =>
    Effect.gen(function* () {
      const page = yield* NodePage.make(nodes, all)
      expect(page).toEqual({
        nodes: [
          { node: "db", hostname: "db.example.com", via: ["relay", "lower"], key: true },
          { node: "relay", hostname: "relay.example.com", via: [], key: false },
          { node: "web1", hostname: "web1.example.com", via: [], key: false },
          { node: "web2", hostname: "Web2.example.com", via: [], key: true }
        ],
        next: Option.none()
      })
    })
  )

  it.effect("leaves out nodes to which no way leads", () =>
    Effect.gen(function* () {
      const route: typeof nodes.route = (id) => (id === "web1" ? { _tag: "Unknown" } : nodes.route(id))
      expect(yield* idsOf({}, { ...nodes, route })).toEqual(["db", "relay", "web2"])
    })
  )

  it.effect("finds nodes by a pattern of the id or of the host name", () =>
    Effect.gen(function* () {
      const found = (match: string) => idsOf({ match: Option.some(match) })
      expect(yield* found("web?.example.com")).toEqual(["web1", "web2"])
      expect(yield* found("WEB*")).toEqual(["web1", "web2"])
      expect(yield* found("d*")).toEqual(["db"])
      expect(yield* found("*.example.org")).toEqual([])
    })
  )

  it.effect("goes through all of a large list, each node once, whatever the order of the file", () =>
    Effect.gen(function* () {
      const ids = Array.from({ length: 12_000 }, (_, at) => `n${(at * 7919) % 12_000}`)
      const large = nodesOf(Object.fromEntries(ids.map((id) => [id, { hostname: `${id}.example.com` }])))
      const seen: Array<string> = []
      let after = Option.none<string>()
      do {
        const page = yield* NodePage.make(large, { limit: 1000, after, match: Option.none() })
        seen.push(...page.nodes.map(({ node }) => node))
        after = page.next
      } while (Option.isSome(after))
      expect(seen).toEqual([...ids].sort())
    })
  )
})
