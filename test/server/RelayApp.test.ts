/** The one `HttpApp`, in a program that has something around it. */
import { HttpApp, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { Relay } from "../../src/index.ts"
import { nodesListLayer } from "../../src/testing/Topology.ts"
import { temporaryFolder } from "../support/Folders.ts"
import { servedRelay } from "../support/ServedRelay.ts"
import { tree } from "../support/Sharing.ts"

/** Asks a relay for paths below the base, one after the other; `around` is what the program does with its app. */
const asking = (
  paths: ReadonlyArray<string>,
  around: <R>(app: HttpApp.Default<never, R>) => HttpApp.Default<never, R> = (app) => app
) =>
  Effect.gen(function* () {
    const directory = yield* temporaryFolder
    return yield* Effect.gen(function* () {
      const app = yield* Relay.httpApp
      const local = Effect.updateService(around(app), HttpServerRequest.HttpServerRequest, (request) =>
        request.modify({ remoteAddress: "127.0.0.1" })
      )
      const runtime =
        yield* Effect.runtime<
          Exclude<Effect.Effect.Context<typeof local>, HttpServerRequest.HttpServerRequest | Scope.Scope>
        >()
      const handle = HttpApp.toWebHandlerRuntime(runtime)(local)
      return yield* Effect.promise(() =>
        Promise.all(paths.map((path) => handle(new Request(`http://relay/rudder/relay-api/${path}`))))
      )
    }).pipe(Effect.provide(servedRelay(directory, nodesListLayer(tree))))
  }).pipe(Effect.scoped)

const paths = ["system/info", "1/system/info", "nothing", "remote-run/runs?limit=0", "system/info?a=1"]

describe("the relay's app", () => {
  it.live("leaves the request as it was for what a program does behind it", () =>
    Effect.gen(function* () {
      const found = yield* asking(paths, (app) =>
        Effect.flatMap(app, (response) =>
          Effect.map(HttpServerRequest.HttpServerRequest, ({ url }) =>
            HttpServerResponse.setHeader(response, "x-url", url)
          )
        )
      )
      expect(found.map(({ headers }) => headers.get("x-url"))).toEqual(
        paths.map((path) => `/rudder/relay-api/${path}`)
      )
      expect(found.map(({ status }) => status)).toEqual([200, 200, 404, 400, 200])
    })
  )

  it.live("answers under both bases, with an id each, and takes a semicolon for a part of a name", () =>
    Effect.gen(function* () {
      const found = yield* asking([...paths, "system/info;x", "remote-run/runs/a;b", "system%2Finfo"])
      expect(found.map(({ status }) => status)).toEqual([200, 200, 404, 400, 200, 404, 404, 404])
      const ids = found.map(({ headers }) => headers.get("x-request-id"))
      expect(new Set(ids).size).toBe(ids.length)
      for (const id of ids) expect(id).toMatch(/^[0-9a-f-]{36}$/)
    })
  )

  it.live("says of a parameter that comes twice that it does, also where the platform decodes it", () =>
    Effect.gen(function* () {
      const found = yield* asking(["system/outbox?limit=1&limit=2", "system/outbox?limit=1"])
      expect(found.map(({ status }) => status)).toEqual([400, 200])
      expect(yield* Effect.promise(() => found[0]?.json() ?? Promise.reject(found))).toMatchObject({
        _tag: "InvalidRequest",
        parameter: "limit",
        message: "limit: expected it once"
      })
    })
  )
})
