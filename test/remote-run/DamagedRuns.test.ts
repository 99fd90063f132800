/** Runs of the past whose files in the history are damaged, as callers and the log have them. */
import { FileSystem, HttpClient, HttpClientRequest } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, Layer } from "effect"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { logLines } from "../support/LogLines.ts"
import { servedRelay } from "../support/ServedRelay.ts"
import { eventually, holds } from "../support/Until.ts"

interface World {
  /** The text of an answer; undefined where it was cut off. */
  readonly ask: (
    method: "GET" | "POST" | "DELETE",
    path: string
  ) => Effect.Effect<{ readonly status: number; readonly body: string | undefined }, unknown>
  readonly lines: ReadonlyArray<string>
  /** A run that is over. */
  readonly id: string
  /** Another, older one. */
  readonly whole: string
  readonly path: string
  readonly index: string
}

const withRuns = <A, E>(use: (world: World) => Effect.Effect<A, E, FileSystem.FileSystem>) =>
  Effect.gen(function* () {
    const directory = yield* temporaryFolder
    const { lines, layer } = logLines()
    const nodes = nodesListLayer({ a: { hostname: "a.example.com" }, b: { hostname: "b.example.com" } })
    const relay = servedRelay(directory, nodes, {}, () => ({ writes: [{ bytes: "hello\n" }], exit: 1 }))
    return yield* Effect.gen(function* () {
      const client = yield* HttpClient.HttpClient
      const ask: World["ask"] = (method, path) =>
        Effect.gen(function* () {
          const response = yield* client.execute(HttpClientRequest.make(method)(`/rudder/relay-api${path}`))
          const body = yield* Effect.orElseSucceed(response.text, () => undefined)
          return { status: response.status, body }
        }).pipe(Effect.scoped)
      const past = Effect.gen(function* () {
        const { body = "" } = yield* ask("POST", "/remote-run/nodes?nodes=a,b&output=keep")
        const id: string = JSON.parse(body.split("\n")[0] ?? "").id
        yield* eventually(() => lines.some((line) => line.includes("run ended") && line.includes(id)))
        return id
      })
      const [whole, id] = [yield* past, yield* past]
      const folder = `${directory}/runs/${id.slice(0, 6)}`
      const index = `${folder}/index`
      const fs = yield* FileSystem.FileSystem
      // It is written behind the runs.
      const isIndexed = Effect.map(fs.readFileString(index, "latin1"), (text) =>
        text.includes(`"id":"${id}"`)
      )
      yield* holds(
        "the index is written",
        Effect.orElseSucceed(isIndexed, () => false)
      )
      return yield* use({
        ask,
        lines,
        id,
        whole,
        path: `${folder}/${id}.run`,
        index
      })
    }).pipe(Effect.provide(relay.pipe(Layer.provideMerge(layer), Layer.provideMerge(NodeContext.layer))))
  })

const aboutRun = (id: string) =>
  [
    ["GET", `/remote-run/runs/${id}`],
    ["GET", `/remote-run/runs/${id}/output?format=ndjson`],
    ["GET", `/remote-run/runs/${id}/output?format=sse&from=2`],
    ["GET", `/remote-run/runs/${id}/output?state=failed`],
    ["GET", `/remote-run/runs/${id}/output?state=running`],
    ["POST", `/remote-run/runs/${id}/retry?preview=yes`],
    ["DELETE", `/remote-run/runs/${id}`]
  ] as const

const idsIn = (page: string | undefined): ReadonlyArray<string> =>
  JSON.parse(page ?? "").runs.map((run: { readonly id: string }) => run.id)

describe("a run whose file in the history is damaged", () => {
  it.scopedLive(
    "is an error that names it, and lists go on without it: empty, foreign, or cut at its beginning",
    () =>
      withRuns(({ ask, lines, id, whole, path, index }) =>
        Effect.gen(function* () {
          const fs = yield* FileSystem.FileSystem
          const good = yield* fs.readFile(path)
          for (const bytes of [
            Buffer.alloc(0),
            Buffer.from("something else"),
            Buffer.alloc(good.length),
            good.subarray(0, 10),
            good.subarray(0, 100)
          ]) {
            yield* fs.writeFile(path, bytes)
            for (const [method, target] of aboutRun(id)) {
              const before = lines.length
              const { status, body = "" } = yield* ask(method, target)
              expect([target, status]).toEqual([target, 500])
              expect(JSON.parse(body)).toMatchObject({
                _tag: "StorageError",
                run: id,
                message: `the file of run ${id} in the history is damaged; the relay's log has it`
              })
              expect(lines.slice(before)).toEqual([
                expect.stringMatching(
                  /^ERROR a request was for a run whose file is damaged .* error=\/.+\.run is damaged: /
                )
              ])
            }
            yield* fs.remove(index, { force: true })
            for (const search of ["", "?state=ended"]) {
              const before = lines.length
              const { status, body } = yield* ask("GET", `/remote-run/runs${search}`)
              expect([status, idsIn(body)]).toEqual([200, [whole]])
              const told = lines.slice(before).filter((line) => line.includes(id))
              expect(told[0]).toMatch(
                /^WARN a run in the history can't be read problem=\/.+ is damaged: .+ run=/
              )
            }
          }
        })
      )
  )

  it.scopedLive("is answered with what can be read, or not at all, wherever it was cut or changed", () =>
    withRuns(({ ask, lines, id, whole, path, index }) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const good = yield* fs.readFile(path)
        const entries = yield* fs.readFile(index)
        const damages = FastCheck.record({
          at: FastCheck.nat(good.length - 1),
          how: FastCheck.constantFrom("cut", "changed", "zeros"),
          bit: FastCheck.nat(7),
          isIndexed: FastCheck.boolean()
        })
        for (const { at, how, bit, isIndexed } of FastCheck.sample(damages, 10)) {
          const bytes = Buffer.from(how === "cut" ? good.subarray(0, at) : good)
          if (how === "changed") bytes.writeUInt8((bytes[at] ?? 0) ^ (1 << bit), at)
          if (how === "zeros") bytes.fill(0, at)
          yield* fs.writeFile(path, bytes)
          yield* isIndexed ? fs.writeFile(index, entries) : fs.remove(index, { force: true })
          const before = lines.length
          for (const [method, target] of aboutRun(id)) {
            const { status, body } = yield* ask(method, target)
            if (status === 500) expect(JSON.parse(body ?? "").run).toBe(id)
            else expect([target, status]).toEqual([target, 200])
          }
          for (const search of ["", "?node=a", "?since=2020-01-01"]) {
            const { status, body } = yield* ask("GET", `/remote-run/runs${search}`)
            expect([status, idsIn(body)]).toEqual([200, expect.arrayContaining([whole])])
          }
          for (const line of lines.slice(before))
            expect(line).not.toMatch(/(error|problem)=( |$)|a request failed/)
        }
      })
    )
  )
})
