/** `rudder-relay nodes`: the nodes below the relay. */
import { Effect, Option } from "effect"
import { RelayClient } from "../client/RelayClient.ts"
import type { KnownNode } from "../system/SystemApi.ts"
import { asking } from "./Asking.ts"
import type { ClientOptions } from "./ClientOptions.ts"
import * as Listing from "./Listing.ts"
import * as NodeNames from "./NodeNames.ts"
import { exitCode, StartError, wrongCall } from "./StartError.ts"
import type { Column } from "./Table.ts"

/** What `nodes list` is told. */
export interface ListOptions extends ClientOptions {
  readonly match: Option.Option<string>
  readonly limit: Option.Option<number>
  readonly json: boolean
}

const keyOf = ({ key }: KnownNode): string => (key ? "yes" : "no")

const columns: ReadonlyArray<Column<KnownNode>> = [
  { title: "ID", cell: ({ node }) => node },
  { title: "HOST NAME", cell: ({ hostname }) => hostname, least: 16 },
  { title: "KEY", cell: keyOf, least: 3 },
  { title: "VIA", cell: ({ via }) => via.join(" > "), least: 8 }
]

/** Lists nodes, by their ids. */
export const list = (given: ListOptions) =>
  asking(
    given,
    Effect.gen(function* () {
      const { routes } = yield* RelayClient
      const match = Option.getOrUndefined(given.match)
      yield* Listing.list(given, {
        columns,
        nothing: "There are no such nodes.",
        ask: (most, after) =>
          Effect.map(
            routes.system.nodes({ urlParams: { limit: String(most), after, match } }),
            ({ next, nodes }) => ({ items: nodes, next })
          ),
        document: ({ items, next }) => ({ nodes: items, next })
      })
    })
  )

/** Shows one node. */
export const show = (given: ClientOptions & { readonly node: string; readonly json: boolean }) =>
  asking(
    given,
    Effect.gen(function* () {
      const [node, ...others] = yield* NodeNames.named(given.node)
      if (node === undefined)
        return yield* new StartError({
          code: exitCode.relay,
          message: `rudder-relay: no node below this relay has the id or host name ${JSON.stringify(given.node.slice(0, 300))}; rudder-relay nodes list shows them`
        })
      if (others.length > 0)
        return yield* wrongCall(
          `several nodes have the host name ${given.node}: ${[node, ...others].map((one) => one.node).join(", ")}`
        )
      if (given.json) return yield* Listing.printJson(node)
      yield* Listing.printFacts([
        ["node", node.node],
        ["host name", node.hostname],
        ["via", node.via.length === 0 ? "none: this relay is its policy server" : node.via.join(" > ")],
        ["key known", keyOf(node)]
      ])
    })
  )
