import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup, HttpServerResponse } from "@effect/platform"
import { expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as RawHandlers from "../../src/http/RawHandlers.ts"

const api = HttpApi.make("api")
  .add(HttpApiGroup.make("books").add(HttpApiEndpoint.get("read", "/books")))
  .add(HttpApiGroup.make("maps").add(HttpApiEndpoint.get("read", "/maps")))

const handlers = RawHandlers.group(
  api,
  "maps",
  Effect.succeed({ read: () => () => HttpServerResponse.empty() })
)

it.scoped("handlers of a group are of its endpoints alone, whatever those of others are called", () =>
  Effect.gen(function* () {
    const routes = yield* HttpApiBuilder.Router.router
    expect(Array.from(routes.routes, ({ path }) => path)).toEqual(["/maps"])
  }).pipe(Effect.provide(Layer.provideMerge(handlers, HttpApiBuilder.Router.Live)))
)
