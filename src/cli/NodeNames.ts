/** Nodes as a person says them: by id or by host name. */
import { Effect } from "effect"
import { RelayClient } from "../client/RelayClient.ts"
import type { KnownNode } from "../system/SystemApi.ts"

/** What means something in a pattern of names; no id or host name has it. */
const pattern = /[*?]/

/** The nodes that have this id, or this host name in whatever case. */
export const named = (name: string) =>
  pattern.test(name)
    ? Effect.succeed<ReadonlyArray<KnownNode>>([])
    : Effect.flatMap(RelayClient, ({ routes }) =>
        Effect.map(
          routes.system.nodes({ urlParams: { match: name, limit: "1000" } }),
          ({ nodes }): ReadonlyArray<KnownNode> => {
            const byId = nodes.filter(({ node }) => node === name)
            return byId.length > 0 ? byId : nodes
          }
        )
      )

/**
 * The id of the node of this id or host name. What is neither is taken for an id, since a run may have been for a node that
 * is no more; and so it is where the relay does not tell its nodes.
 */
export const idOf = (name: string) =>
  named(name).pipe(
    Effect.map((found) => (found.length === 1 ? (found[0]?.node ?? name) : name)),
    Effect.catchTag("AccessDenied", () => Effect.succeed(name))
  )
