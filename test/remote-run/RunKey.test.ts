import { request } from "node:http"
import { HttpServer } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { ask, eventsIn, withServedRelay } from "../support/AskedRelay.ts"

const key = { "idempotency-key": "order 66, once" }

/** Asks for a run with a header for each of these keys. */
const askWithKeys = (keys: ReadonlyArray<string>) =>
  Effect.flatMap(HttpServer.HttpServer, ({ address }) =>
    Effect.async<{ readonly status: number | undefined; readonly body: string }, Error>((resume) => {
      const port = address._tag === "TcpAddress" ? address.port : 0
      const path = "/rudder/relay-api/remote-run/node/ok"
      const headers = { "Idempotency-Key": [...keys] }
      const asked = request({ port, host: "127.0.0.1", method: "POST", path, headers }, (answer) => {
        let body = ""
        answer.setEncoding("utf8").on("data", (text) => {
          body += text
        })
        answer.on("end", () => resume(Effect.succeed({ status: answer.statusCode, body })))
      })
      asked.on("error", (error) => resume(Effect.fail(error))).end()
      return Effect.sync(() => asked.destroy())
    })
  )

describe("requests with an Idempotency-Key", () => {
  it.scopedLive(
    "start one run, and are answered with it from its start, in the form that each asks for",
    () => {
      let agents = 0
      return withServedRelay(
        Effect.gen(function* () {
          const orders = "nodes?nodes=ok,bad,nobody&classes=a"
          const first = yield* ask("POST", `${orders}&output=keep`, key)
          const [started] = eventsIn(first)
          expect(first.body).toContain("ok:hello from ok a\n")
          const again = yield* ask("POST", `${orders}&output=keep`, key)
          expect(again).toEqual(first)
          const ndjson = yield* ask("GET", `${orders}&output=keep&format=ndjson&async=yes`, key)
          expect(ndjson.type).toContain("ndjson")
          expect(eventsIn(ndjson)[0]).toEqual(started)
          expect(eventsIn(ndjson)).toContainEqual(expect.objectContaining({ event: "output", node: "bad" }))
          const quiet = yield* ask("POST", orders, key)
          expect(quiet.status).toBe(200)
          expect(quiet.body).not.toContain("hello")
          expect(eventsIn(quiet)).toEqual(eventsIn(first))
          const told = yield* ask("POST", `${orders}&async=yes`, key)
          expect(told.status).toBe(202)
          expect(eventsIn(told)).toEqual([started])
          const v1 = yield* ask("POST", `${orders}&keep_output=true&asynchronous=false`, key)
          expect(v1.body).toBe("hello from ok a\nhello from bad a\n")
          expect(agents).toBe(2)
          expect(JSON.parse((yield* ask("GET", "runs")).body).runs.length).toBe(1)
        }),
        () => {
          agents++
          return {}
        }
      )
    }
  )

  it.scopedLive("are a conflict for another order, and for output that was not kept", () =>
    withServedRelay(
      Effect.gen(function* () {
        const [started] = eventsIn(yield* ask("POST", "nodes?nodes=ok,bad", key))
        for (const other of [
          "nodes?nodes=ok",
          "nodes?nodes=bad,ok",
          "nodes?nodes=ok,bad&classes=a",
          "nodes?nodes=ok,bad&output=keep",
          "all",
          "node/ok",
          `runs/${String(started?.id)}/retry`
        ]) {
          const refused = yield* ask("POST", other, key)
          const isNothing = other.endsWith("retry")
          expect(refused.status, other).toBe(isNothing ? 200 : 409)
          if (!isNothing)
            expect(JSON.parse(refused.body)).toMatchObject({ _tag: "IdempotencyConflict", run: started?.id })
        }
        expect(JSON.parse((yield* ask("GET", "runs")).body).runs.length).toBe(1)
      }),
      () => ({})
    )
  )

  it.scopedLive("retry a run once, too", () =>
    withServedRelay(
      Effect.gen(function* () {
        const [started] = eventsIn(yield* ask("POST", "nodes?nodes=ok,bad"))
        const path = `runs/${String(started?.id)}/retry?async=yes`
        const [first] = eventsIn(yield* ask("POST", path, key))
        const [second] = eventsIn(yield* ask("POST", path, key))
        expect(first).toMatchObject({ nodes: ["bad"] })
        expect(second).toEqual(first)
      }),
      (host) => ({ exit: host === "bad" ? 3 : 0 })
    )
  )

  it.scopedLive("start a run that ends also where it is cancelled before its first agent", () =>
    withServedRelay(
      Effect.gen(function* () {
        const [started] = eventsIn(yield* ask("POST", "node/ok?async=yes", key))
        const path = `runs/${String(started?.id)}`
        yield* ask("DELETE", path)
        const events = eventsIn(yield* ask("GET", `${path}/output?format=ndjson`))
        expect(events.at(-1)).toMatchObject({ event: "done" })
      }),
      () => ({})
    )
  )

  it.scopedLive("start nothing where the order can't be, so that the key stays free", () =>
    withServedRelay(
      Effect.gen(function* () {
        expect(yield* ask("POST", "node/nobody", key)).toMatchObject({ status: 404 })
        expect(yield* ask("POST", "node/ok", key)).toMatchObject({ status: 200 })
      }),
      () => ({})
    )
  )

  it.scopedLive("are refused for a key that is too long, empty or not printable", () =>
    withServedRelay(
      Effect.gen(function* () {
        for (const text of ["x".repeat(201), "", "clé"]) {
          const refused = yield* ask("POST", "node/ok", { "idempotency-key": text })
          expect(refused).toMatchObject({ status: 400, body: expect.stringContaining('"Idempotency-Key"') })
        }
        expect(yield* ask("POST", "node/ok", { "idempotency-key": "x".repeat(200) })).toMatchObject({
          status: 200
        })
      }),
      () => ({})
    )
  )

  it.scopedLive("are refused where they have two, be they the same, and start nothing", () =>
    withServedRelay(
      Effect.gen(function* () {
        for (const keys of [
          ["one", "other"],
          ["one", "one"]
        ]) {
          const { status, body } = yield* askWithKeys(keys)
          expect(status).toBe(400)
          expect(JSON.parse(body)).toMatchObject({
            parameter: "Idempotency-Key",
            message: "Idempotency-Key: expected it once"
          })
        }
        expect(JSON.parse((yield* ask("GET", "runs")).body).runs).toEqual([])
        expect(yield* askWithKeys(["one"])).toMatchObject({ status: 200 })
      }),
      () => ({})
    )
  )
})
