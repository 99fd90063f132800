/** How what goes wrong is answered, through the whole app. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { HttpClient, HttpClientRequest } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { hashOf } from "../support/Keys.ts"
import { servedRelay } from "../support/ServedRelay.ts"
import { queryOf, tree } from "../support/Sharing.ts"
import { listening } from "../support/Stores.ts"

interface Answer {
  readonly status: number
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

type Ask = (
  method: "GET" | "HEAD" | "POST" | "PUT",
  path: string,
  body?: string,
  headers?: Record<string, string>
) => Effect.Effect<Answer, unknown>

/** A root server with nodes that share files; `said` is its log. */
const withRelay = <A, E>(
  use: (ask: Ask, directory: string, said: ReadonlyArray<string>) => Effect.Effect<A, E, Scope.Scope>
) =>
  Effect.gen(function* () {
    const directory = yield* temporaryFolder
    const { said, layer } = listening()
    return yield* Effect.gen(function* () {
      const client = yield* HttpClient.HttpClient
      const ask: Ask = (method, path, body, headers = {}) =>
        Effect.gen(function* () {
          const request = HttpClientRequest.make(method)(`/rudder/relay-api${path}`, { headers })
          const sent = body === undefined ? request : HttpClientRequest.bodyText(request, body)
          const response = yield* client.execute(sent)
          return { status: response.status, body: yield* response.text, headers: response.headers }
        }).pipe(Effect.scoped)
      return yield* use(ask, directory, said)
    }).pipe(Effect.provide(servedRelay(directory, nodesListLayer(tree)).pipe(Layer.provideMerge(layer))))
  })

describe("a failure of the disk", () => {
  it.scopedLive("is told without the relay's paths, which the log has under the request's id", () =>
    withRelay((ask, directory, said) =>
      Effect.gen(function* () {
        const run = "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee"
        mkdirSync(join(directory, "runs", run.slice(0, 6)), { recursive: true })
        writeFileSync(join(directory, "runs", run.slice(0, 6), `${run}.run`), "no journal")
        mkdirSync(join(directory, "shared-files"), { recursive: true })
        symlinkSync(directory, join(directory, "shared-files/target"))
        const query = `source-uuid=source&${queryOf("content")}`
        for (const answer of [
          yield* ask("GET", `/remote-run/runs/${run}`),
          yield* ask("POST", `/shared-files/node/target/motd?${query}`, "content")
        ]) {
          expect(answer.status).toBe(500)
          expect(answer.body).not.toContain(directory)
          const { _tag, request } = JSON.parse(answer.body)
          expect(_tag).toBe("StorageError")
          expect(answer.headers["x-request-id"]).toBe(request)
          const lines = said.filter((line) => line.includes(String(request)))
          expect(lines).toEqual([expect.stringContaining(directory)])
        }
      })
    )
  )
})

describe("the older HEAD", () => {
  it.scopedLive("finds nothing for what is no hash, where the other says so", () =>
    withRelay((ask) =>
      Effect.gen(function* () {
        for (const hash of ["", "?hash=", "?hash=nothing", `?hash=${"0".repeat(127)}`])
          expect([hash, (yield* ask("HEAD", `/shared-files/target/source/motd${hash}`)).status]).toEqual([
            hash,
            404
          ])
        for (const hash of ["", "&hash=", "&hash=nothing", `&hash=${"0".repeat(127)}`])
          expect([
            hash,
            (yield* ask("HEAD", `/shared-files/node/target/motd?source-uuid=source${hash}`)).status
          ]).toEqual([hash, 400])
        const twice = `?hash=${hashOf("content")}&hash=${hashOf("content")}`
        expect((yield* ask("HEAD", `/shared-files/target/source/motd${twice}`)).status).toBe(400)
      })
    )
  )
})

describe("a request's id", () => {
  it.scopedLive("is in every answer: the caller's own where that is sane, else a new one", () =>
    withRelay((ask) =>
      Effect.gen(function* () {
        const paths = ["/system/info", "/remote-run/runs", "/nothing", "/remote-run/node/ghost", "/a%zz"]
        for (const path of paths) {
          const idOf = (given: Record<string, string> = {}) =>
            Effect.map(ask("GET", path, undefined, given), ({ headers }) => headers["x-request-id"])
          const own = `Own-id_1.${"x".repeat(119)}`
          expect(yield* idOf({ "x-request-id": own })).toBe(own)
          for (const insane of [`${own}x`, "a b", "a=b", "", "é", "a,b"])
            expect(yield* idOf({ "x-request-id": encodeURI(insane) })).toMatch(/^[0-9a-f-]{36}$/)
          expect(yield* idOf()).not.toBe(yield* idOf())
        }
      })
    )
  )

  it.scopedLive("is in what the log says of the request", () =>
    withRelay((ask, _, said) =>
      Effect.gen(function* () {
        const query = `source-uuid=source&${queryOf("content")}`
        const id = { "x-request-id": "this-very-upload" }
        const answer = yield* ask("POST", `/shared-files/node/target/motd?${query}`, "content", id)
        expect(answer.status).toBe(200)
        expect(said.filter((line) => line.includes("this-very-upload"))).toEqual([
          expect.stringContaining("shared file accepted")
        ])
        const stranger = { "x-request-id": "this-very-refusal", "x-forwarded-for": "192.0.2.1" }
        expect((yield* ask("GET", "/system/info", undefined, stranger)).status).toBe(403)
        expect(said.filter((line) => line.includes("this-very-refusal"))).toEqual([
          expect.stringContaining("a caller was refused")
        ])
      })
    )
  )
})
