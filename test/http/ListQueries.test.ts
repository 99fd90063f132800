/** What the lists say to a query that would narrow nothing, through the whole app. */
import { HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { servedRelay } from "../support/ServedRelay.ts"

const ask = (path: string) =>
  Effect.flatMap(HttpClient.get(`/rudder/relay-api/${path}`), (response) =>
    Effect.map(response.text, (body) => [response.status, JSON.parse(body)] as const)
  ).pipe(Effect.scoped)

const withRelay = <A, E>(test: Effect.Effect<A, E, HttpClient.HttpClient>) =>
  Effect.flatMap(temporaryFolder, (directory) =>
    Effect.provide(test, servedRelay(directory, nodesListLayer({ a: { hostname: "a.example.com" } })))
  )

/** Of each list a query that narrows it, the same with a slip in it, and what was meant. */
const lists = [
  ["remote-run/runs", "actor=me", "acter=me", "actor"],
  ["system/outbox", "limit=1", "limt=1", "limit"],
  ["system/nodes", "match=a", "mtach=a", "match"],
  ["system/files", "target=a", "traget=a", "target"]
] as const

describe("a list", () => {
  it.scopedLive.each(lists)(
    "%s is narrowed, and not where a name is misspelt",
    ([path, right, wrong, meant]) =>
      withRelay(
        Effect.gen(function* () {
          expect((yield* ask(`${path}?${right}`))[0]).toBe(200)
          const parameter = wrong.split("=")[0]
          for (const query of [wrong, `${right}&${wrong}`])
            expect(yield* ask(`${path}?${query}`)).toEqual([
              400,
              {
                _tag: "InvalidRequest",
                parameter,
                message: `${parameter}: this route has no such parameter; expected perhaps ${meant}`
              }
            ])
        })
      )
  )

  it.scopedLive.each(lists)("%s is not answered where its query can't be decoded", ([path, right]) =>
    withRelay(
      Effect.gen(function* () {
        for (const wrong of [`${right}%`, `${right}%zz`, `${right}%ff`])
          expect(yield* ask(`${path}?${wrong}`)).toEqual([
            400,
            { _tag: "InvalidRequest", message: "the query is not percent-encoded text" }
          ])
      })
    )
  )
})

describe("a run's output", () => {
  it.scopedLive("is not answered whole where the name of what narrows it is misspelt", () =>
    withRelay(
      Effect.gen(function* () {
        yield* Effect.scoped(HttpClient.get("/rudder/relay-api/remote-run/node/a"))
        const [, { runs }] = yield* ask("remote-run/runs")
        const path = `remote-run/runs/${runs[0].id}/output`
        expect((yield* HttpClient.get(`/rudder/relay-api/${path}?node=a`)).status).toBe(200)
        expect(yield* ask(`${path}?nodes=a`)).toEqual([
          400,
          {
            _tag: "InvalidRequest",
            parameter: "nodes",
            message: "nodes: this route has no such parameter; expected perhaps node"
          }
        ])
        expect((yield* ask(`${path}?node=%ff`))[0]).toBe(400)
      })
    )
  )
})
