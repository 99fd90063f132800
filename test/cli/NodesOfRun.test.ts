/** Which nodes of a run a person means. */
import { FetchHttpClient, HttpServer } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as NodesOfRun from "../../src/cli/NodesOfRun.ts"
import { RelayClient } from "../../src/client/RelayClient.ts"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { servedRelay } from "../support/ServedRelay.ts"

const tree = {
  "id-1": { hostname: "web1.example.com" },
  "id-2": { hostname: "web2.example.com" },
  "id-3": { hostname: "twin.example.com" },
  "id-4": { hostname: "twin.example.com" }
}

const client = HttpServer.HttpServer.pipe(
  Effect.map(({ address }) => (address._tag === "TcpAddress" ? address.port : 0)),
  Effect.map((port) => RelayClient.layer({ url: `http://127.0.0.1:${port}` })),
  Layer.unwrapEffect,
  Layer.provide(FetchHttpClient.layer)
)

describe("the nodes of a run", () => {
  it.scopedLive("are meant by id or host name; one that is none of them is said, and nothing is shown", () =>
    Effect.gen(function* () {
      const relay = servedRelay(yield* temporaryFolder, nodesListLayer(tree))
      yield* Effect.gen(function* () {
        const { id } = yield* (yield* RelayClient).start({ nodes: ["id-1", "id-3", "id-2"] })
        expect(yield* NodesOfRun.named(id, "id-1")).toEqual(["id-1"])
        expect(yield* NodesOfRun.named(id, "WEB2.example.com, id-1,,id-1")).toEqual(["id-2", "id-1"])
        // Of two nodes of one name the run's is meant.
        expect(yield* NodesOfRun.named(id, "twin.example.com")).toEqual(["id-3"])
        for (const [text, named] of [
          ["id-1,id-4,nobody", "id-4, nobody"],
          [" , ", "--node"]
        ] as const)
          expect(yield* Effect.flip(NodesOfRun.named(id, text))).toMatchObject({
            code: 2,
            message: expect.stringContaining(named)
          })
      }).pipe(Effect.provide(Layer.provide(client, relay)))
    })
  )
})
