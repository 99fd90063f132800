/** `system/nodes` and `system/files` over the whole app, by the typed client. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { RelayClient } from "../../src/client/RelayClient.ts"
import type { GivenSettings } from "../../src/config/GivenSettings.ts"
import * as TestRelay from "../../src/testing/TestRelay.ts"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { keyNamed } from "../support/Keys.ts"

const key = keyNamed("source")
const nodes = nodesListLayer({
  web: { hostname: "web.example.com", keyHash: key.keyHash },
  relay: { hostname: "relay.example.com" },
  db: { hostname: "db.example.com", relays: ["relay"] }
})

const withRelay = <A, E>(test: Effect.Effect<A, E, RelayClient>, settings: GivenSettings = {}) =>
  Effect.provide(test, TestRelay.layer(nodes, settings))

const share = (fileId: string, target: string, ttl = "") =>
  Effect.flatMap(RelayClient, (client) =>
    client.share({
      source: "web",
      target,
      fileId,
      ttl,
      key: key.secret,
      content: Stream.succeed(Buffer.from("hello"))
    })
  )

describe("system/nodes", () => {
  it.scopedLive("shows the nodes below, page by page", () =>
    withRelay(
      Effect.gen(function* () {
        const { routes } = yield* RelayClient
        const first = yield* routes.system.nodes({ urlParams: { limit: "2" } })
        expect(first).toEqual({
          nodes: [
            { node: "db", hostname: "db.example.com", via: ["relay"], key: false },
            { node: "relay", hostname: "relay.example.com", via: [], key: false }
          ],
          next: "relay"
        })
        const rest = yield* routes.system.nodes({ urlParams: { limit: "2", after: "relay" } })
        expect(rest).toEqual({
          nodes: [{ node: "web", hostname: "web.example.com", via: [], key: true }],
          next: null
        })
        const found = yield* routes.system.nodes({ urlParams: { match: "d?.*" } })
        expect(found.nodes.map(({ node }) => node)).toEqual(["db"])
      })
    )
  )

  it.scopedLive("names the parameter that is not what was expected", () =>
    withRelay(
      Effect.gen(function* () {
        const { routes } = yield* RelayClient
        for (const urlParams of [
          { limit: "0" },
          { limit: "1e2" },
          { after: "a/b" },
          { match: "*".repeat(301) }
        ])
          expect(yield* Effect.flip(routes.system.nodes({ urlParams }))).toMatchObject({
            _tag: "InvalidRequest",
            parameter: Object.keys(urlParams)[0]
          })
        for (const urlParams of [{ target: ".." }, { source: "a b" }, { after: "/etc" }, { limit: "1001" }])
          expect(yield* Effect.flip(routes.system.files({ urlParams }))).toMatchObject({
            _tag: "InvalidRequest",
            parameter: Object.keys(urlParams)[0]
          })
      })
    )
  )
})

describe("system/files", () => {
  it.scopedLive("shows what is stored, and removes it", () =>
    withRelay(
      Effect.gen(function* () {
        const { routes } = yield* RelayClient
        yield* share("motd", "web")
        yield* share("motd", "db", "1h")
        const page = yield* routes.system.files({ urlParams: {} })
        expect(page).toEqual({
          files: [
            {
              target: "db",
              source: "web",
              file_id: "motd",
              size: 5,
              date: expect.any(String),
              expires: expect.any(Number)
            },
            {
              target: "web",
              source: "web",
              file_id: "motd",
              size: 5,
              date: expect.any(String),
              expires: null
            }
          ],
          next: null
        })
        const path = { target: "db", source: "web", file_id: "motd" }
        expect(yield* routes.system.deleteFile({ path })).toEqual(path)
        expect(yield* Effect.flip(routes.system.deleteFile({ path }))).toMatchObject({ _tag: "NotFound" })
        expect((yield* routes.system.files({ urlParams: { target: "db" } })).files).toEqual([])
        expect((yield* routes.system.files({ urlParams: {} })).files).toHaveLength(1)
        // What was removed is asked for again.
        expect(yield* share("motd", "db")).toMatchObject({ result: "stored" })
      })
    )
  )

  it.scopedLive("is for administrators alone", () =>
    withRelay(
      Effect.gen(function* () {
        const { routes } = yield* RelayClient
        const path = { target: "db", source: "web", file_id: "motd" }
        for (const call of [
          Effect.asVoid(routes.system.nodes({ urlParams: {} })),
          Effect.asVoid(routes.system.files({ urlParams: {} })),
          Effect.asVoid(routes.system.deleteFile({ path }))
        ])
          expect(yield* Effect.flip(call)).toMatchObject({ _tag: "AccessDenied" })
      }),
      { access: { admin: Option.some(["192.0.2.1"]) } }
    )
  )
})
