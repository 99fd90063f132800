import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { servedRelay } from "../support/ServedRelay.ts"

const get = (path: string) =>
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const response = yield* client.get(`/rudder/relay-api/remote-run/${path}`)
    return { status: response.status, body: yield* response.text }
  })

const served = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "rudder-relay-output-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
  ),
  (directory) =>
    servedRelay(directory, nodesListLayer({ A: { hostname: "a.example.com" }, B: { hostname: "-" } }))
)

const linesOf = (body: string): ReadonlyArray<string> => body.split(/(?<=\n)/)

describe("the output of a run", () => {
  it.scopedLive("is what follows the events that a caller has, of the nodes that it wants", () =>
    Effect.gen(function* () {
      const layer = yield* served
      yield* Effect.gen(function* () {
        const { body } = yield* get("all?output=keep&async=yes&format=ndjson")
        const all = linesOf(body)
        const { id } = JSON.parse(all[0] ?? "")
        const output = (query: string) => get(`runs/${id}/output?format=ndjson&${query}`)
        for (const from of [0, 1, 2, all.length, 1000])
          expect(yield* output(`from=${from}`)).toEqual({ status: 200, body: all.slice(from).join("") })
        // A page that asks again by itself is told not to, once it has all.
        for (const [from, status] of [
          [all.length - 1, 200],
          [all.length, 204],
          [1000, 204]
        ] as const)
          expect((yield* get(`runs/${id}/output?format=sse&from=${from}`)).status).toBe(status)
        const of = (node: string) =>
          all
            .filter((line) => line.includes(`"node":"${node}"`) || /"event":"(run|done)"/.test(line))
            .join("")
        expect((yield* output("node=A")).body).toBe(of("A"))
        expect((yield* output("state=ok")).body).toBe(of("A"))
        expect((yield* output("state=failed")).body).toBe(of("B"))
        expect((yield* output("state=failed&node=A")).body).toBe(of("X"))
        expect((yield* output("state=running")).body).toBe(of("X"))
        for (const [parameter, query] of [
          ["from", "from=x"],
          ["node", "node=a/b"],
          ["stream", "stream=both"],
          ["state", "state=over"]
        ] as const) {
          const { status, body } = yield* output(query)
          expect(status).toBe(400)
          expect(JSON.parse(body)).toMatchObject({ _tag: "InvalidRequest", parameter })
        }
      }).pipe(Effect.provide(layer))
    })
  )
})
