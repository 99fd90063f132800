/** Orders of runs as requests, through the whole app. */
import { HttpClient, HttpClientRequest, UrlParams } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, type Scope } from "effect"
import type { GivenSettings } from "../../src/config/GivenSettings.ts"
import { Disk, DiskError } from "../../src/disk/Disk.ts"
import * as NodeDisk from "../../src/disk/NodeDisk.ts"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { logLines } from "../support/LogLines.ts"
import { servedRelay } from "../support/ServedRelay.ts"
import { eventually } from "../support/Until.ts"

const tree = {
  a: { hostname: "a.example.com" },
  upper: { hostname: "upper.example.com" },
  b: { hostname: "b.example.com", relays: ["upper"] }
}

type Ask = (
  method: "GET" | "POST" | "DELETE",
  path: string,
  given?: { readonly form?: string; readonly headers?: Record<string, string> }
) => Effect.Effect<{ readonly status: number; readonly type: string; readonly body: string }, unknown>

/** `lines` is its log. */
const withRelay = <A, E>(
  use: (ask: Ask, lines: ReadonlyArray<string>) => Effect.Effect<A, E, Scope.Scope>,
  settings: GivenSettings = {},
  script?: Parameters<typeof servedRelay>[3],
  disk?: Layer.Layer<Disk>
) =>
  Effect.gen(function* () {
    const directory = yield* temporaryFolder
    const { lines, layer } = logLines()
    return yield* Effect.gen(function* () {
      const client = yield* HttpClient.HttpClient
      const ask: Ask = (method, path, { form, headers = {} } = {}) =>
        Effect.gen(function* () {
          const request = HttpClientRequest.make(method)(`/rudder/relay-api${path}`, { headers })
          const response = yield* client.execute(
            form === undefined
              ? request
              : HttpClientRequest.bodyUrlParams(request, UrlParams.fromInput(new URLSearchParams(form)))
          )
          const type = response.headers["content-type"] ?? ""
          return { status: response.status, type, body: yield* response.text }
        }).pipe(Effect.scoped)
      return yield* use(ask, lines)
    }).pipe(
      Effect.provide(
        servedRelay(directory, nodesListLayer(tree), settings, script, disk).pipe(Layer.provideMerge(layer))
      )
    )
  })

const preview = {
  nodes: [
    { node: "a", hostname: "a.example.com", via: [], batch: 1 },
    { node: "b", hostname: "b.example.com", via: ["upper"], batch: 2 }
  ],
  unknown: ["x"]
}

describe("a preview", () => {
  it.scopedLive("is JSON in one line, on every route that starts runs, and nothing is kept", () =>
    withRelay((ask) =>
      Effect.gen(function* () {
        const form = "nodes=a,b,x&batch=1&preview=yes"
        for (const answer of [
          yield* ask("GET", `/remote-run/nodes?${form}`),
          yield* ask("POST", "/remote-run/nodes", { form }),
          yield* ask("POST", "/1/remote-run/nodes", { form }),
          yield* ask("POST", "/1/remote-run/nodes", { form: `${form}&keep_output=true&asynchronous=true` })
        ])
          expect(answer).toEqual({
            status: 200,
            type: "application/json",
            body: `${JSON.stringify(preview)}\n`
          })
        const all = JSON.parse((yield* ask("GET", "/remote-run/all?preview=yes&format=raw")).body)
        expect(all.nodes.map((one: { node: string }) => one.node)).toEqual(["a", "upper", "b"])
        for (const [method, path] of [
          ["GET", "/remote-run/node/b"],
          ["POST", "/remote-run/node/b"],
          ["POST", "/1/remote-run/nodes/b"]
        ] as const)
          expect(JSON.parse((yield* ask(method, `${path}?preview=yes`)).body)).toEqual({
            nodes: [{ ...preview.nodes[1], batch: 1 }],
            unknown: []
          })
        expect(JSON.parse((yield* ask("GET", "/remote-run/runs")).body)).toEqual({ runs: [], next: null })
      })
    )
  )

  it.scopedLive("is refused as the run would be", () =>
    withRelay(
      (ask) =>
        Effect.gen(function* () {
          const refusals = [
            ["/remote-run/node/x?preview=yes", 404],
            ["/remote-run/nodes?preview=yes", 400],
            ["/remote-run/all?preview=yes&batch=0", 400],
            ["/remote-run/all?preview=yes&classes=reboot", 400],
            ["/remote-run/all?preview=yes&nodes=a", 400]
          ] as const
          for (const [path, status] of refusals)
            expect([path, (yield* ask("GET", path)).status]).toEqual([path, status])
          const old = yield* ask("POST", "/1/remote-run/nodes/x", { form: "preview=yes&keep_output=true" })
          expect(old).toMatchObject({ status: 200, body: "" })
        }),
      { remoteRun: { allowedClasses: Option.some(["app_*"]) } }
    )
  )
})

describe("an order", () => {
  it.scopedLive("that comes again by its key is shown with its lines, or without those that are kept", () =>
    withRelay(
      (ask) =>
        Effect.gen(function* () {
          const headers = { "idempotency-key": "again" }
          const eventsOf = (body: string) =>
            body.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line).event]))
          const said = (output: string) =>
            Effect.map(
              ask("GET", `/remote-run/nodes?nodes=a&format=ndjson&output=${output}`, { headers }),
              ({ body }) => eventsOf(body)
            )
          const whole = ["run", "start", "output", "end", "done"]
          expect(yield* said("keep")).toEqual(whole)
          expect(yield* said("discard")).toEqual(whole.filter((event) => event !== "output"))
          expect(yield* said("keep")).toEqual(whole)
          expect(JSON.parse((yield* ask("GET", "/remote-run/runs")).body).runs.length).toBe(1)
        }),
      {},
      () => ({ writes: [{ bytes: "a line\n" }] })
    )
  )

  it.scopedLive("with a class that is not allowed is refused, in either dialect, and starts nothing", () =>
    withRelay(
      (ask) =>
        Effect.gen(function* () {
          for (const [form, parameter] of [
            ["nodes=a&classes=reboot", "classes"],
            ["nodes=a&conditions=app_web,reboot&keep_output=true", "conditions"]
          ] as const) {
            const { status, body } = yield* ask("POST", "/1/remote-run/nodes", { form })
            expect(status).toBe(400)
            expect(JSON.parse(body)).toMatchObject({ _tag: "InvalidRequest", parameter })
          }
          expect((yield* ask("GET", "/remote-run/nodes?nodes=a&classes=app_web")).status).toBe(200)
          expect((yield* ask("GET", "/remote-run/nodes?nodes=a")).status).toBe(200)
          expect(JSON.parse((yield* ask("GET", "/remote-run/runs")).body).runs.length).toBe(2)
        }),
      { remoteRun: { allowedClasses: Option.some(["app_*"]) } }
    )
  )

  it.scopedLive(
    "with a parameter that nobody knows starts nothing; an older caller's is ignored, and logged",
    () =>
      withRelay((ask, lines) =>
        Effect.gen(function* () {
          const { status, body } = yield* ask("POST", "/remote-run/all", { form: "previev=yes" })
          expect(status).toBe(400)
          expect(JSON.parse(body)).toMatchObject({ _tag: "InvalidRequest", parameter: "previev" })
          expect(JSON.parse((yield* ask("GET", "/remote-run/runs")).body).runs).toEqual([])
          const old = yield* ask("POST", "/1/remote-run/nodes/a", {
            form: "classes=&keep_output=false&asynchronous=true&colour=red"
          })
          expect(old).toMatchObject({ status: 200, body: "" })
          expect(lines.filter((line) => line.includes("ignored"))).toEqual([
            "INFO parameters of a run that mean nothing here were ignored count=1 parameters=colour"
          ])
        })
      )
  )

  it.scopedLive("is kept with who gave it and why, and the log lines of its run say so", () =>
    withRelay(
      (ask, lines) =>
        Effect.gen(function* () {
          yield* ask("POST", "/remote-run/nodes", {
            form: "nodes=a&actor=jane&reason=CHG+7",
            headers: { "x-forwarded-for": "192.0.2.7, 127.0.0.2" }
          })
          yield* ask("GET", "/remote-run/nodes?nodes=a")
          const { runs } = JSON.parse((yield* ask("GET", "/remote-run/runs")).body)
          expect(runs.map((run: { by: unknown }) => run.by)).toEqual([
            { address: "127.0.0.1" },
            { address: "192.0.2.7", actor: "jane", reason: "CHG 7" }
          ])
          const one = JSON.parse((yield* ask("GET", `/remote-run/runs/${runs[1].id}`)).body)
          expect(Object.keys(one)).toEqual([...Object.keys(runs[1]), "states"])
          const said = lines.filter((line) => line.includes(`run=${runs[1].id}`))
          expect(said.length).toBeGreaterThanOrEqual(2)
          for (const line of said) expect(line).toMatch(/actor=jane.*reason=CHG 7/)
          expect(said[0]).toContain("address=192.0.2.7")
        }),
      {
        access: {
          policyServer: Option.some(["127.0.0.1", "192.0.2.7"]),
          trustedProxies: Option.some(["127.0.0.0/8"])
        }
      }
    )
  )

  it.scopedLive("that comes again by its key has a line that says so, and started nothing", () =>
    withRelay((ask, lines) =>
      Effect.gen(function* () {
        const headers = { "idempotency-key": "again" }
        for (let time = 0; time < 2; time++)
          yield* ask("POST", "/remote-run/nodes", { form: "nodes=a", headers })
        const told = lines.filter((line) => line.includes("route=/remote-run/nodes"))
        expect(told).toEqual([
          expect.stringMatching(/^INFO .* started=1 /),
          expect.stringMatching(/^INFO .* repeated=true /)
        ])
        expect(told[0]).not.toContain("repeated=")
        expect(told[1]).not.toContain("started=")
      })
    )
  )

  it.scopedLive("whose key can't be made binding starts no agent, and the log says why", () =>
    withRelay(
      (ask, lines) =>
        Effect.gen(function* () {
          const headers = { "idempotency-key": "unkept" }
          const { body } = yield* ask("POST", "/remote-run/nodes", { form: "nodes=a", headers })
          expect(body).toContain('"_tag":"AgentError"')
          expect(lines.filter((line) => line.startsWith("ERROR"))).toEqual([
            expect.stringMatching(/^ERROR the disk failed .*error=EIO: .*keys.* run=/)
          ])
        }),
      {},
      undefined,
      Layer.map(NodeDisk.layer, (given) => {
        const disk = Context.get(given, Disk)
        return Context.make(Disk, {
          ...disk,
          rename: (from, to) =>
            from.includes("/keys/")
              ? new DiskError({ code: "EIO", message: `EIO: rename '${from}'` })
              : disk.rename(from, to)
        })
      })
    )
  )
})

describe("a run that is cancelled", () => {
  it.scopedLive("ends with a line that says who started it, and who cancelled it", () =>
    withRelay(
      (ask, lines) =>
        Effect.gen(function* () {
          const started = yield* ask("POST", "/remote-run/nodes", { form: "nodes=a&actor=jane&async=yes" })
          const { id } = JSON.parse(started.body)
          yield* ask("DELETE", `/remote-run/runs/${id}?actor=joe`)
          yield* eventually(() => lines.some((line) => line.includes("run ended")))
          expect(lines.find((line) => line.includes("run ended"))).toMatch(
            / actor=jane .*cancelled_by=joe .*outcome=cancelled/
          )
        }),
      {},
      () => ({ exit: "hang" })
    )
  )
})
